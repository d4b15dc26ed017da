"""The toy run that touches every network, augmentation, table and figure, and the plan of the paper's whole grid."""

import re

import numpy as np
import pandas as pd
import pytest
from checkout import Checkout
from presets import read

from satsynth.pairs import Store
from satsynth.plan.closure import declares, registered
from satsynth.plan.stanzas import AUGMENTATIONS, NETWORKS
from satsynth.runtime.files import read_json

ALL = "configs/tiny_all.yaml"
# How many raw files the three datasets have, by folder: (folder, names of one scene's files, scenes).
RAW = [
    ("iSAID/train/images", ("P{:04d}.png", "P{:04d}_instance_color_RGB.png", "P{:04d}_instance_id_RGB.png"), 1411),
    ("iSAID/val/images", ("Q{:04d}.png", "Q{:04d}_instance_color_RGB.png", "Q{:04d}_instance_id_RGB.png"), 458),
    ("LoveDA/Train/Rural", ("images_png/{}.png", "masks_png/{}.png"), 2522),
    ("LoveDA/Val/Urban", ("images_png/{}.png", "masks_png/{}.png"), 1669),
    ("OpenEarthMap/koeln", ("images/koeln_{}.tif", "labels/koeln_{}.tif"), 3500),
]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("everything") / "satsynth")
    checkout.run(configs=(ALL,))
    return checkout


def shown(checkout, table):
    """The cells of a table's rows on the page of the report."""
    page = (checkout.folder / "results/report/index.html").read_text()
    article = page.split(f'<article id="table-{table}">')[1].split("</article>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", article.split("<tbody>")[1], re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_every_network_and_augmentation_runs_from_the_grid(everything):
    results = everything.folder / "results"
    table = pd.read_csv(results / "tables/networks.csv")
    for network in [name for name in registered(NETWORKS) if not declares(NETWORKS, name, "NEEDS")]:
        rows = table[table["segmenter"] == network].set_index("arm")
        assert rows.loc["real", "steps"] == rows.loc["union", "steps"] == 4
        assert 0 < rows.loc["union", "miou_pct"] <= 100
    compared = pd.read_csv(results / "tables/augmentations.csv")
    assert {"cascade", *registered(AUGMENTATIONS)} <= set(compared["source"].dropna())
    real = Store.open(results / "demo/64px/real/train", verify=True)
    for name in registered(AUGMENTATIONS):
        made = Store.open(results / f"demo/64px/{name}/shard-0000", verify=True)
        assert len(made) == len(real) and made.classes == real.classes
        assert (made.images[:] != real.images[:]).any()


def test_semgan_runs_as_a_generator_and_as_a_segmenter(everything):
    results = everything.folder / "results"
    table = pd.read_csv(results / "tables/generative.csv")
    rows = table[table["segmenter"] == "semgan"].set_index("arm")
    assert list(rows.index) == ["constant", "real"] and rows.loc["real", "steps"] == 4
    assert {"semgan", "satsynth"} <= set(table.loc[table["arm"] == "synthetic", "method"])
    assert "stands in for the perceptual weights" in (results / "tables/generative.md").read_text()
    measured = pd.read_csv(results / "tables/fidelity.csv").set_index("method")
    assert measured.loc["semgan", "count"] > 1 and measured.loc["semgan", "fid"] > 0
    card = read_json(results / "demo/64px/segmentation/real/semgan/seed-0/card.json")
    parts = {"generator": "generators/semgan", "evaluator": "64px/segmentation/real/unet/seed-0"}
    for part, folder in parts.items():
        assert card[f"{part}_sha256"] == read_json(results / f"demo/{folder}/card.json")["weights_sha256"]
    constant, real = [cells for cells in shown(everything, "generative") if cells[0] == "semgan"]
    assert constant[1].startswith("constant class") and real[1] == "D" and f"{rows.loc['real', 'miou_pct']:.2f}" in real
    assert {"D\u00a0∪\u00a0D′ (semgan)", "D′ alone (semgan)"} <= {cells[1] for cells in shown(everything, "generative")}


def test_segdiff_runs_on_d_and_on_the_union_and_is_shown(everything):
    results = everything.folder / "results"
    for table, arms in (("generative", ["constant", "real"]), ("networks", ["constant", "real", "union"])):
        frame = pd.read_csv(results / f"tables/{table}.csv")
        rows = frame[frame["segmenter"] == "segdiff"].set_index("arm")
        assert list(rows.index) == arms and (rows["steps"] == [0, 4, 4][: len(arms)]).all()
        printed = [cells for cells in shown(everything, table) if cells[0] == "segdiff"]
        assert len(printed) == len(arms) and all(f"{rows.loc[arm, 'miou_pct']:.2f}" in cells for arm, cells in zip(arms, printed))
    runs = [results / f"demo/64px/segmentation/{trained}/segdiff/seed-0" for trained in ("real", "real+cascade-r1")]
    for run in runs:  # masks are predicted only where a figure shows them
        masks, rows = np.load(run / "predictions/predictions/masks.npy"), read_json(run / "predictions/predictions/card.json")["rows"]
        assert masks.shape == (len(rows), 64, 64) and len(rows) == 2 and masks.max() < 7
    assert 'id="figure-predictions"' in (results / "report/index.html").read_text()


@pytest.mark.parametrize(
    ("over", "trained"),
    [
        ({"segmenters": {"semgan": {"loss": {"labels": 0.5}}}}, {"train_encoder": 1}),
        ({"sources": {"semgan": {"sampler": {"truncation": 0.9}}}}, {"sample_pairs": 1, "train_segmenter": 2}),
        (
            {"generators": {"semgan": {"mixing": 0.5}}},
            {"train_generator": 1, "sample_pairs": 1, "train_segmenter": 2, "train_encoder": 1},
        ),
        ({"datasets": {"demo": {"background": 0}}}, {"train_encoder": 1, "augment_pairs": 3, "train_segmenter": 3}),
        ({"sources": {"direct": {"seed": 5}}}, {"sample_pairs": 1, "train_segmenter": 1}),
    ],
)
def test_a_change_of_semgan_trains_what_reads_it_and_nothing_else(everything, over, trained):
    planned = everything.planned(configs=(ALL, everything.overlay("semgan.yaml", over)))
    made = ("train_generator", "sample_pairs", "augment_pairs", "train_segmenter", "train_encoder")
    assert {rule: planned[rule] for rule in made if rule in planned} == trained


def test_another_evaluator_trains_the_encoder_again(everything):
    planned = everything.planned(configs=(ALL, everything.overlay("evaluator.yaml", {"measures": {"evaluator": "fpn"}})))
    assert planned["train_encoder"] == 1 and "train_generator" not in planned and "train_segmenter" not in planned


def test_every_table_and_figure_is_on_the_page(everything):
    page = (everything.folder / "results/report/index.html").read_text()
    names = read(ALL)["run"]
    for name in names:
        assert f'id="table-{name}"' in page or f'id="figure-{name}"' in page
    figures = [name for name in names if (everything.folder / f"results/figures/{name}.png").is_file()]
    assert page.count("data:image/png;base64,") == len(figures) >= 9


def test_a_segmenter_scored_on_whole_scenes_counts_the_same_pixels(everything):
    folder = everything.folder / "results/demo/64px/segmentation/real"
    patches, scenes = (read_json(folder / name / "seed-0/metrics.json") for name in ("fpn", "fpn_scenes"))
    assert patches["mode"] == "patches" and scenes["mode"] == "scenes"
    assert patches["pixels"] == scenes["pixels"] and patches["images"] == scenes["images"]


def test_a_fidelity_table_compares_samplers_and_trains_on_every_source_alone(everything):
    table = pd.read_csv(everything.folder / "results/tables/fidelity.csv").set_index("source")
    assert table["labels_changed"].dropna().index.tolist() == ["cascade_unipc"] and 0 < table.loc["cascade_unipc", "labels_changed"] <= 1
    assert table.loc["cascade", "nfe"] == 2 + 2 and table.loc["cascade_unipc", "nfe"] == 3 + 3
    assert table.index[table["alone_miou_pct"].isna()].tolist() == ["image_only"]


def test_another_way_of_scoring_trains_nothing(everything):
    over = everything.overlay("scenes.yaml", {"segmenters": {"unet": {"evaluation": {"mode": "scenes"}}}})
    assert set(everything.planned(configs=(ALL, over))) == {"evaluate_segmenter", "tabulate_runs", "draw_figure", "write_report"}


def test_another_search_scores_semgan_again_and_trains_nothing(everything):
    over = everything.overlay("search.yaml", {"segmenters": {"semgan": {"search": {"pixels": 0.2}}}})
    assert everything.planned(configs=(ALL, over)) == {"evaluate_segmenter": 1, "tabulate_runs": 1, "write_report": 1}


def test_fewer_generations_predict_anew_and_train_nothing(everything):
    over = everything.overlay("generations.yaml", {"segmenters": {"segdiff": {"ensemble": {"generations": 2}, "sampler": {"steps": 3}}}})
    planned = everything.planned(configs=(ALL, over))
    assert set(planned) == {"evaluate_segmenter", "predict_masks", "tabulate_runs", "draw_figure", "write_report"}
    assert planned["evaluate_segmenter"] == planned["predict_masks"] == 2  # on D, and on D with the cascade's pairs


def test_a_view_that_is_named_by_the_config_counts_as_code(everything):
    path = everything.folder / "satsynth/reporting/tables/summary.py"
    source = path.read_text()
    try:
        path.write_text(source + "\nNEW_STATEMENT = 1\n")
        assert everything.planned(configs=(ALL,)) == {"tabulate_runs": 1, "write_report": 1}
    finally:
        path.write_text(source)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The project beside raw folders of the right shape: empty files, since a plan reads names, sizes and times only."""
    checkout = Checkout(tmp_path_factory.mktemp("paper") / "satsynth")
    for folder, names, count in RAW:
        for name in names:
            place = (checkout.folder / "data" / folder / name).parent
            place.mkdir(parents=True, exist_ok=True)
            for scene in range(count):
                (place / name.rpartition("/")[2].format(scene)).touch()
    for split in ("train", "val"):
        (checkout.folder / f"data/OpenEarthMap/{split}.txt").touch()
    return checkout


def test_the_papers_grid_is_planned_whole(paper):
    data = paper.overlay("data.yaml", {"data_root": "data"})
    planned = paper.planned(configs=("configs/paper.yaml", data))
    # Trainings: Table 2 has 5 networks x {D, R = 1, R = 3}; Table 4 adds the direct source at R = 1 and 3 on two networks, and D' alone
    # of it and of the cascade on FPN; Table 3 D and 3 sources x 2; Table 5 3 augmentations and a control; Figure 5 R = 2, 4 and 5 on
    # iSAID, and six R on each of two more datasets; D' alone at R = 1 and 3 of G on three datasets, of one-hot and x0 on iSAID, of
    # SemGAN on three; SegDiff and SemGAN on three datasets. All of 5 seeds. An evaluator a dataset is not scored, and SemGAN's encoder
    # has a rule of its own.
    trainings = 5 * (5 * 3 + (2 * 2 + 2 * 2) + (1 + 3 * 2) + (3 + 1) + 3 + 2 * 6 + 2 * (3 + 2) + 3 * 3)
    assert planned["evaluate_segmenter"] == trainings
    assert planned["train_segmenter"] == trainings + 3 - 5 * 3 and planned["train_encoder"] == 5 * 3
    # G, SemGAN and the image-only one on three datasets; G_SR, one-hot, x0 and the direct one on iSAID.
    assert planned["train_generator"] == 3 * 3 + 4
    # Shards, eight a unit of R: G 5 units on each of three datasets, the cascade, one-hot, x0 and the direct one three; image-only,
    # SemGAN's.
    assert planned["sample_pairs"] == 8 * (3 * 5 + 3 * 3 + 3 + 3 + 3)
    # On each dataset train and val, and three sources of eight shards.
    assert planned["extract_features"] == 3 * (2 + 24) and planned["find_neighbours"] == 3 * (1 + 24)
    assert planned["score_fidelity"] == 3 * 4
    # Predictions: five networks on D and R = 1; figures 11 and 12 show SemGAN and SegDiff on D, FPN on D and on R = 3.
    assert planned["augment_pairs"] == 3 and planned["predict_masks"] == 10 + 2 * 4 and planned["trace_denoising"] == 1


@pytest.mark.parametrize("dataset", ["isaid", "loveda", "openearthmap"])
def test_one_dataset_of_the_papers_grid(paper, dataset):
    data = paper.overlay("data.yaml", {"data_root": "data"})
    planned = paper.planned(configs=("configs/paper.yaml", f"configs/paper_{dataset}.yaml", data))
    assert {rule for rule in planned if rule.startswith("tile_patches")} == {f"tile_patches_{dataset}"}


def test_one_table_of_the_papers_grid(paper):
    data = paper.overlay("data.yaml", {"data_root": "data"})
    planned = paper.planned("results/tables/table5.csv", configs=("configs/paper.yaml", data))
    assert planned["train_segmenter"] == 5 * (1 + 4 + 1) and planned["train_generator"] == 1


def test_replicas_give_every_seed_a_generator_of_its_own(paper):
    over = {
        "run": ["table2"],
        "generators": {"second": {"extends": "satsynth", "seed": 1}},
        "sources": {"cascade_second": {"generator": "second", "then": "upscaler"}},
        "experiments": {
            "table2": {
                "seeds": [0, 1],
                "grid": [{"segmenters": ["fpn"], "sources": [["cascade", "cascade_second"]], "ratios": [0, 1]}],
            }
        },
    }
    data = paper.overlay("data.yaml", {"data_root": "data"})
    planned = paper.planned(configs=("configs/paper.yaml", data, paper.overlay("replicas.yaml", over)))
    assert planned["train_generator"] == 3 and planned["sample_pairs"] == 16 and planned["train_segmenter"] == 4
