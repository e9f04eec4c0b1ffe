"""What `reid-pareto evaluate` does besides parsing its options: splits, networks, rules, pictures."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import spaces
from reid.config import Target, TrialConfig
from reid.data import ReIDDataset, Sample, dataset_name, split_validation
from reid.errors import ConfigError, DataError
from reid.evaluate import Protocol, Rerank, Spectral
from reid.evaluate.classification import Classification
from reid.evaluate.classifier import classify_run, classify_weights
from reid.evaluate.embedder import Embedder, open_file, open_weights
from reid.evaluate.examine import Examined
from reid.evaluate.ranked_list import draw_ranked_lists, queries_to_show
from reid.files import read_json, write_with
from reid.runtime import model_file, runtime_of
from reid.runtime.foreign import options_beside, training_beside
from search.console import errors
from search.options import change_target, parse_size

__all__ = ["HoldOut", "Picture", "Source", "chosen_picture", "chosen_protocol", "chosen_split"]

_USUAL_SIZE = "256x128"
_QUERIES_SHOWN = 5
_FREE = ("synthetic",)
"""Datasets whose images may go anywhere: nobody is shown."""


def chosen_protocol(
    rules: Mapping[str, Any],
    *,
    scales: str,
    rerank: bool,
    spectral: float | None,
    spectral_top: int | None,
) -> Protocol:
    """The protocol that the options of the command line ask for.

    Args:
        rules: attributes of `Protocol` that are words or switches.
        scales: numbers joined by commas, e.g. "1,1.1".
        rerank: re-rank at the usual settings.
        spectral: temperature, or None.
        spectral_top: images scored again, or None for the usual number.

    Raises:
        ConfigError: a value is out of range, or two options contradict each other.
    """
    if spectral is None and spectral_top is not None:
        raise ConfigError("--spectral-top needs --spectral TEMPERATURE")
    try:
        areas = tuple(float(part) for part in scales.split(","))
    except ValueError as error:
        raise ConfigError(f"--scales takes numbers joined by commas such as 1,1.1, got {scales!r}") from error
    top = Spectral().top if spectral_top is None else spectral_top
    return Protocol(
        **rules,
        scales=areas,
        rerank=Rerank() if rerank else None,
        spectral=None if spectral is None else Spectral(temperature=spectral, top=top),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOut:
    """How validation identities are held out of the training set.

    Attributes:
        share: of the identities, in (0, 1).
        seed: that they are drawn by.
    """

    share: float
    seed: int


def chosen_split(
    dataset: ReIDDataset, split: str, hold_out: HoldOut | None, protocol: Protocol
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Query and gallery of a split; `hold_out` says how validation identities are drawn.

    Raises:
        ConfigError: there is no such split, or the protocol asks for multi-query images of validation identities.
        DataError: the protocol asks for multi-query images and the dataset has none.
    """
    if split not in ("test", "validation"):
        raise ConfigError(f"--split must be test or validation, got {split!r}")
    if protocol.multi_query and split == "validation":
        raise ConfigError("--multi-query is for the test split: validation identities have no images besides")
    if protocol.multi_query and not dataset.multi_query:
        raise DataError(
            f"{dataset.root} holds no multi-query images; prepare it from a source that has them (gt_bbox of "
            "Market-1501)"
        )
    if hold_out is None:
        return dataset.query, dataset.gallery
    held_out = split_validation(dataset, hold_out.share, hold_out.seed)
    return held_out.val_query, held_out.val_gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The network that is judged.

    The state dict of a RUN folder is read as its `config.json` says, save what is said here.

    Attributes:
        model: ONNX or OpenVINO file of ours, package or RUN folder, or state dict.
        backbone: of a state dict.
        input_size: HEIGHTxWIDTH of a state dict; None is 256x128 where nothing tells.
        options: network options of a state dict.
        threads: that embed.
    """

    model: Path
    backbone: str | None
    input_size: str | None
    options: Mapping[str, Any]
    threads: int

    @contextmanager
    def torch_threads(self) -> Iterator[None]:
        """Torch, which runs a state dict, computes with as many threads as are asked for, and afterwards as before.

        Raises:
            ConfigError: too many.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(change_target(Target(), threads=self.threads).threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def open(self) -> Embedder:
        """What embeds.

        Raises:
            ConfigError: there is no such file, the folder holds none, a state dict is without a backbone, or options
                of a network stand beside an exported file.
            ArtifactError: the file cannot be opened.
        """
        self._demand_there()
        if self.model.is_dir() and not (file := model_file(self.model)).is_file():
            raise ConfigError(
                f"{self.model} holds no {file.name}; name a package, or the folder of a train or trial that ended"
            )
        if self.model.is_dir() or self.model.suffix in (".onnx", ".xml"):
            self._demand_nothing_said()
            runtime = runtime_of(self._folder()) if self.model.suffix != ".onnx" else "onnxruntime"
            target = change_target(Target(runtime=runtime, batch=32), threads=self.threads)
            return open_file(self.model, target)
        if training_beside(self.model) and (plan := self.model.with_name("plan.json")).is_file():
            raise ConfigError(f"{self.model} are weights slimmed by {plan.name}; name {self.model.parent}")
        return open_weights(self.model, self._named_backbone(), self._size(), self._options())

    def hold_out(self, share: float | None, seed: int | None) -> HoldOut:
        """As said; else as this network's training held out, where its package or RUN folder tells; else as usual.

        Raises:
            ConfigError: what the folder says of its training cannot be read.
        """
        tells = self.model.is_dir() or self.model.suffix in (".onnx", ".xml") or training_beside(self.model)
        trained = _training(self._folder()) if tells and None in (share, seed) else {}
        usual = TrialConfig()
        return HoldOut(
            share=trained.get("validation_share", usual.validation_share) if share is None else share,
            seed=trained.get("seed", usual.seed) if seed is None else seed,
        )

    def judge_classifier(
        self,
        dataset: ReIDDataset,
        share: float | None,
        seed: int | None,
        gate: Callable[[], AbstractContextManager[None]],
    ) -> Classification:
        """Accuracy of the classifier in a RUN folder or a state dict; `gate` is entered around all computing.

        Raises:
            ConfigError: there is no classifier that fits, a state dict is without a backbone, or a folder is told
                what it tells itself.
            DataError: an image is damaged.
        """
        self._demand_there()
        if self.model.is_dir() or training_beside(self.model):
            self._demand_nothing_said()
            if share is not None or seed is not None:
                raise ConfigError(
                    f"--validation-share and --seed are those of the training, which {self.model} tells; leave them out"
                )
            return classify_run(self._folder(), dataset, gate=gate)
        if self.model.suffix in (".onnx", ".xml"):
            raise ConfigError(
                f"{self.model} gives embeddings and has no classifier; give the folder that `reid-pareto train` "
                "wrote, or a state dict with --backbone"
            )
        hold_out = self.hold_out(share, seed)
        return classify_weights(
            self.model,
            self._named_backbone(),
            self._size(),
            self._options(),
            dataset,
            validation_share=hold_out.share,
            seed=hold_out.seed,
            gate=gate,
        )

    def _folder(self) -> Path:
        return self.model if self.model.is_dir() else self.model.parent

    def _size(self) -> tuple[int, int]:
        if self.input_size is None and (trained := training_beside(self.model)):
            return trained.input_size
        return parse_size(self.input_size or _USUAL_SIZE)

    def _options(self) -> dict[str, Any]:
        return {**options_beside(self.model), **self.options}

    def _demand_nothing_said(self) -> None:
        said = {"--set": self.options, "--backbone": self.backbone, "--input-size": self.input_size}
        if named := [option for option, value in said.items() if value]:
            raise ConfigError(
                f"{named[0]} describes the network of a state dict; {self.model} describes itself"
            )

    def _demand_there(self) -> None:
        if not self.model.exists():
            raise ConfigError(
                f"{self.model} does not exist; name an ONNX file, package, RUN folder or state dict"
            )

    def _named_backbone(self) -> str:
        if self.backbone is None and (trained := training_beside(self.model)):
            return trained.backbone
        if self.backbone is None:
            raise ConfigError(f"{self.model} is no ONNX file or package; a bare state dict needs --backbone")
        return self.backbone


def _training(folder: Path) -> Mapping[str, Any]:
    """Settings of the training whose outcome lies in `folder`; none where nothing tells them."""
    run, package = folder / "config.json", folder / "reproduce.yaml"
    try:
        if run.is_file():
            return TrialConfig.from_dict(read_json(run)).to_dict()
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"cannot read {run}: {error}; give --validation-share and --seed") from error
    return spaces.load(str(package)).fixed if package.is_file() else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of rankings that is to be written.

    Attributes:
        path: of the PNG.
        queries: how many, >= 1.
    """

    path: Path
    queries: int

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise ConfigError(f"--queries must be at least 1, got {self.queries}")
        if self.path.suffix.lower() != ".png":
            raise ConfigError(f"--ranked-list writes a PNG, got {self.path}")

    def demand_place(self, dataset: str) -> None:
        """Refuse a bad place before any work, and say what may be done with the picture.

        Raises:
            ConfigError: nothing can be written there; or people of a research dataset would be shown inside a git work
                tree, from where they would be published one day.
        """
        there = next(folder for folder in self.path.absolute().parents if folder.exists())
        if self.path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"--ranked-list {self.path} cannot be written there; name another file")
        if dataset in _FREE:
            return
        tree = next((folder for folder in self.path.resolve().parents if (folder / ".git").exists()), None)
        if tree is not None:
            raise ConfigError(
                f"--ranked-list {self.path} lies in the git work tree {tree}, and images of {dataset} must not "
                "be published; name a file elsewhere"
            )
        errors.print(
            f"{self.path} will show images of {dataset}: for research only, not to be passed on",
            markup=False,
            style="yellow",
        )

    def write(self, examined: Examined, seed: int) -> None:
        """Draw the rankings of queries drawn by `seed`.

        Raises:
            ResourceError: the file cannot be written.
        """
        queries = queries_to_show(examined.found, self.queries, seed)
        drawn = draw_ranked_lists(examined.found, queries, examined.query_images, examined.gallery_images)
        write_with(self.path, lambda temporary: drawn.save(temporary, format="PNG"))


def chosen_picture(path: Path | None, queries: int | None, data: Path) -> Picture | None:
    """The picture that the options ask for, or None; its place is known to be good.

    Raises:
        ConfigError: a value or the place is wrong, or queries are counted for no picture.
    """
    if path is None:
        if queries is not None:
            raise ConfigError("--queries needs --ranked-list FILE.png")
        return None
    picture = Picture(path=path, queries=_QUERIES_SHOWN if queries is None else queries)
    picture.demand_place(dataset_name(data))
    return picture
