"""What the chaos run would find: everything that killed jobs could leave wrong."""

from checkout import TINY

from tests.chaos.road import DONE, Road, differences


def road(checkout):
    made = object.__new__(Road)
    made.checkout, made.folder, made.configs = checkout, checkout.folder, (TINY,)
    return made


def test_a_run_beside_itself_and_everything_that_can_be_wrong_with_one(finished, copy):
    clean, other = road(finished), road(copy)
    assert len(clean.outputs()) > 60 and differences(clean, other) == []

    results = copy.folder / "results"
    page, log = results / "report/index.html", results / "logs/tabulate_runs/gain.log"
    page.write_bytes(page.read_bytes()[:-1])
    (results / "tables/gain.tex").unlink()
    (results / "tables/.gain.csv.4711.partial").touch()
    manifest = next((results / "state/write_report").glob("*/manifest.json"))
    manifest.unlink()
    log.write_text(log.read_text() + f"tabulate_runs{DONE}0:01.\n")
    assert differences(clean, other) == [
        "results/logs/tabulate_runs/gain.log: computed 2 times",
        "results/report/index.html: differs",
        f"{manifest.parent.relative_to(copy.folder)}: left unfinished",
        "results/tables/.gain.csv.4711.partial: declared by no job",
        "results/tables/gain.tex: missing",
        "snakemake -n: something is left to be done",
    ]
