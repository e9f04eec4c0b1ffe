"""Which descent a student learns fastest by: ResNet-18 at 64x32 from nothing, ten epochs, 38 identities held out.

SGD also with the teacher's embedding at twice the weight in the loss.

    python -m benchmarks.descents RUNS --data DATA --teacher 0277.xml [--only NAME ...]

Like benchmarks.recipes, with a teacher that has seen the student's views. Writes results/descents-<device>.json.
"""

from benchmarks.recipes import ADAM, compare_recipes
from benchmarks.runs import runs_parser

LABELS = "softmax+triplet+distill-similarity"
COMMON = [
    "--backbone", "resnet18", "--input-size", "64x32", "--set", "last_stride=1", "--validation-share", "0.05",
    "--validate-every", "5", "--epochs", "10", "--warmup-epochs", "2", "--teacher-spec", "omz",
    "--teacher-view", "drawn", "--loss", f"{LABELS}+15*distill-embedding",
]  # fmt: skip
SGD = ["--optimizer", "sgd", "--learning-rate", "0.065"]
DESCENTS = {
    "adam-7e-4": ADAM,
    "adam-15e-4": ["--learning-rate", "1.5e-3"],
    "adam-3e-3": ["--learning-rate", "3e-3"],
    "sgd-65e-3": SGD,
    "sgd-65e-3-30": [*SGD, "--loss", f"{LABELS}+30*distill-embedding"],
    "adam-7e-4-gem-ibn": [*ADAM, "--pooling", "gem", "--set", "ibn=true"],
    "adam-7e-4-pcb": [*ADAM, "--head", "pcb", "--set", "parts=4"],
}


def main() -> None:
    compare_recipes("descents", runs_parser(__doc__, DESCENTS).parse_args(), COMMON, DESCENTS)


if __name__ == "__main__":
    main()
