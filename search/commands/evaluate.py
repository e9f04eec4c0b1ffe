"""`reid-pareto evaluate`: accuracy of an exported file, a package or a state dict, by rules that one chooses."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from reid.data import dataset_name, load_dataset
from reid.errors import ConfigError
from reid.evaluate import Protocol, RankingResult
from reid.evaluate.plugin import apply_metric, load_metric
from reid.timing import DeviceLock
from reid.timing.machine import cores
from search.console import accuracy, print_json, progress_line
from search.console import out as console
from search.options import parse_settings

__all__ = ["evaluate"]

_USUAL = Protocol()


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="ONNX file, package or its zip, RUN folder, or state dict.")],
    data: Annotated[Path, typer.Option(help="Prepared dataset.")],
    backbone: Annotated[
        str | None, typer.Option(help="Network of a state dict, as for train: resnet18, osnet_x0_25, ...")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="name=value of the network of a state dict, as for train: head=linear, last_stride=1, ...",
        ),
    ] = None,
    input_size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of a state dict; else as its RUN says, or 256x128.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, or validation as a study splits it.")] = "test",
    validation_share: Annotated[
        float | None, typer.Option(help="Share held out; as in the training of a package or RUN, else 0.15.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the held-out identities, likewise, and of what is drawn.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Add the embedding of the mirror image.")] = False,
    scales: Annotated[str, typer.Option(help="Add embeddings at these areas; state dicts only.")] = "1",
    multi_query: Annotated[
        bool, typer.Option("--multi-query", help="Average the multi-query images of identity and camera.")
    ] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="k-reciprocal: k1 20, k2 6, lambda 0.3.")] = False,
    spectral: Annotated[float | None, typer.Option(help="Score the head again; temperature, 0.5.")] = None,
    spectral_top: Annotated[
        int | None, typer.Option(min=1, help="Length of that head; 50 if left out.")
    ] = None,
    no_match: Annotated[str, typer.Option(help="Query without a match: skip or count.")] = _USUAL.no_match,
    same_camera: Annotated[str, typer.Option(help="Matches in the same camera: remove or keep.")] = "remove",
    junk: Annotated[str, typer.Option(help="Identity -1: remove or keep as wrong.")] = _USUAL.junk,
    distractors: Annotated[str, typer.Option(help="Identity 0: keep as wrong or remove.")] = "keep",
    ranked_list: Annotated[Path | None, typer.Option(help="PNG: queries and their first ten.")] = None,
    queries: Annotated[int | None, typer.Option(help="Queries in the picture; 5 if left out.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="package.module:function, a metric.")] = None,
    classification: Annotated[
        bool, typer.Option("--classification", help="Judge the classifier instead of retrieval.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that embed; all cores when left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Embed query and gallery with the file itself and rank them: mAP and CMC, protocol stated.

    Example: reid-pareto evaluate PACKAGE --data DATA --flip --rerank
    """
    # Late, because torch takes seconds to load: help should not.
    from reid.evaluate.examine import examine
    from search.evaluation import Source, chosen_picture, chosen_protocol, chosen_split
    from search.packages import unpacked

    if model.suffix == ".zip":
        model = context.with_resource(unpacked(model))
    rules = {
        "no_match": no_match, "same_camera": same_camera, "junk": junk, "distractors": distractors,
        "multi_query": multi_query, "flip": flip,
    }  # fmt: skip
    protocol = chosen_protocol(
        rules, scales=scales, rerank=rerank, spectral=spectral, spectral_top=spectral_top
    )
    source = Source(
        model=model, backbone=backbone, input_size=input_size, options=parse_settings(settings or []),
        threads=threads or cores(),
    )  # fmt: skip
    context.with_resource(source.torch_threads())
    beside = DeviceLock("cpu").shared
    if classification:
        if protocol != _USUAL or ranked_list or queries or metric or split != "test":
            raise ConfigError("--classification judges no retrieval; leave the options of retrieval out")
        dataset = load_dataset(dataset_name(data), data)
        judged = source.judge_classifier(dataset, validation_share, seed, beside)
        _answer_classification(dataclasses.asdict(judged), json)
        return
    if validation_share is not None and split != "validation":
        raise ConfigError("--validation-share needs --split validation or --classification")
    if seed is not None and split != "validation" and not ranked_list:
        raise ConfigError(
            "--seed needs --split validation, --classification or --ranked-list: nothing else is drawn"
        )
    picture = chosen_picture(ranked_list, queries, data)
    own = {path: load_metric(path) for path in metric or []}
    dataset = load_dataset(dataset_name(data), data)
    hold_out = source.hold_out(validation_share, seed) if split == "validation" else None
    query, gallery = chosen_split(dataset, split, hold_out, protocol)
    with beside():
        network = source.open()
    examined = examine(
        network, dataset.root, query, gallery, protocol, dataset.multi_query, gate=beside, say=progress_line
    )
    with beside():
        answer = _figures(examined.found.ranking(), split)
    if hold_out is not None:
        answer |= {"validation_share": hold_out.share, "seed": hold_out.seed}
    try:
        if own:
            with beside():
                answer["metrics"] = {path: apply_metric(own[path], path, examined.found) for path in own}
        if picture is not None:
            picture.write(examined, seed or 0)
            answer["ranked_list"] = str(picture.path)
    finally:
        # What took minutes to find is told, whatever becomes of the rest.
        _answer(answer, json)


def _figures(ranking: RankingResult, split: str) -> dict[str, Any]:
    from reid.steps.score import metrics_of  # late, because of torch again

    values: dict[str, Any] = {"split": split, "protocol": ranking.protocol, **metrics_of(ranking)}
    return values | {"queries": ranking.num_queries, "skipped": ranking.num_skipped}


def _answer(values: dict[str, Any], json: bool) -> None:
    if json:
        print_json(values)
        return
    console.print(accuracy(values))
    for path, named in values.get("metrics", {}).items():
        figures = "  ".join(f"{name} {value:.6g}" for name, value in named.items())
        console.print(f"{path}: {figures}", markup=False)
    drawn = f" (share {values['validation_share']}, seed {values['seed']})" if "seed" in values else ""
    console.print(
        f"{values['split']} split{drawn}, {values['queries']} queries, {values['skipped']} left out for want of a "
        f"match; {values['protocol']}"
    )
    if "ranked_list" in values:
        console.print(f"ranked lists in {values['ranked_list']}", markup=False)


def _answer_classification(values: dict[str, Any], json: bool) -> None:
    if json:
        print_json(values)
        return
    console.print(
        f"accuracy {values['accuracy']:.4f}  among the first five {values['accuracy_top5']:.4f}  "
        f"({values['images']} images, {values['identities']} identities)"
    )
    console.print(values["protocol"], markup=False)
