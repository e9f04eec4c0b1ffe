"""Read a study without torch, ray or optuna: its front, its costs, its table.

python examples/read_a_study.py STUDY
"""

import sys

import results
from results.cost import stage_seconds


def main() -> None:
    study = results.open_study(sys.argv[1])
    print(f"{study.definition['name']}: {len(study.records())} trials")
    for record in study.front():
        figures = ", ".join(f"{name} {record.metrics[name]:.4g}" for name in study.objectives)
        print(f"trial {record.number}: {figures}; {record.params}")
    for stage, seconds in stage_seconds(study.records()).items():
        print(f"{stage}: {seconds:.0f} s")
    print(study.table().column_names)


if __name__ == "__main__":
    main()
