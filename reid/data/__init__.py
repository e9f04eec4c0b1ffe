"""Datasets: listing, preparing, splitting, decoding and generating the images of people in cameras."""

from reid.data.dataset import DATASETS, ReIDDataset, dataset_name, load_dataset
from reid.data.normalize import MEAN, STD
from reid.data.parallel import progress_lines
from reid.data.sample import DISTRACTOR, JUNK, Sample
from reid.data.split import TrainingSplit, split_validation
from reid.data.store import DecodedImages, decode_images

__all__ = [
    "DATASETS",
    "DISTRACTOR",
    "JUNK",
    "MEAN",
    "STD",
    "DecodedImages",
    "ReIDDataset",
    "Sample",
    "TrainingSplit",
    "dataset_name",
    "decode_images",
    "load_dataset",
    "progress_lines",
    "split_validation",
]
