rule tabulate_runs:
    input:
        confusions=ancient(lambda wildcards: LAYOUT.run_files(wildcards.experiment, "confusion.npy")),
        runs=lambda wildcards: LAYOUT.run_files(wildcards.experiment, "card.json", "metrics.json"),
        real=lambda wildcards: LAYOUT.ground(wildcards.experiment),
        indices=ancient(lambda wildcards: LAYOUT.scene_indices(wildcards.experiment)),
        admissions=lambda wildcards: LAYOUT.admissions(wildcards.experiment),
    output:
        csv=report("results/tables/{experiment}.csv", caption="captions/table.rst", category="Tables", labels={"table": "{experiment}"}),
        md="results/tables/{experiment}.md",
        tex="results/tables/{experiment}.tex",
    log:
        "results/logs/tabulate_runs/{experiment}.log",
    benchmark:
        "results/benchmarks/tabulate_runs/{experiment}.jsonl"
    wildcard_constraints:
        experiment=names.alternatives(set(CONFIG["experiments"]) - set(measures.tables(CONFIG)) - set(SELECTIONS)),
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.table(CONFIG, wildcards.experiment, LAYOUT.runs(wildcards.experiment)),
        code=lambda wildcards: code("tabulate_runs", f"satsynth.reporting.tables.{CONFIG['experiments'][wildcards.experiment]['view']}"),
    script:
        "../workflow_scripts/tabulate_runs.py"


rule draw_figure:
    input:
        unpack(figure_inputs),
    output:
        png=report(
            "results/figures/{figure}.png",
            caption="captions/figure.rst",
            category="Figures",
            subcategory=figure_group,
            labels={"figure": "{figure}"},
        ),
        pdf="results/figures/{figure}.pdf",
    log:
        "results/logs/draw_figure/{figure}.log",
    benchmark:
        "results/benchmarks/draw_figure/{figure}.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.figure(CONFIG, wildcards.figure, LAYOUT.systems(wildcards.figure)),
        code=lambda wildcards: code("draw_figure", f"satsynth.reporting.figures.{CONFIG['figures'][wildcards.figure]['view']}"),
    script:
        "../workflow_scripts/draw_figure.py"


rule write_report:
    input:
        tables=expand("results/tables/{experiment}.csv", experiment=LAYOUT.experiments()),
        printed=expand("results/tables/{experiment}.md", experiment=LAYOUT.experiments()),
        choices=[selection.choice_of(experiment) for experiment in LAYOUT.experiments() if experiment in SELECTIONS],
        figures=expand("results/figures/{figure}.png", figure=LAYOUT.figures()),
        generators=LAYOUT.report_generators(),
        runs=[path for experiment in LAYOUT.experiments() for path in LAYOUT.run_files(experiment, "card.json")],
        evaluators=LAYOUT.report_evaluators(),
        real=[path for experiment in LAYOUT.experiments() for path in LAYOUT.ground(experiment)],
        indices=ancient([path for experiment in LAYOUT.experiments() for path in LAYOUT.scene_indices(experiment)]),
        gallery=gallery.files(PLACES, "card.json"),
        strips=ancient(gallery.files(PLACES, "strip.jpg")),
        exports=ancient([exports.outputs(export)["card"] for export in exports.named(CONFIG)]),  # only linked
    output:
        page=report("results/report/index.html", caption="captions/page.rst", category="Report", labels={"page": "the whole run"}),
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=slices.page(CONFIG),
        code=code("write_report"),
    script:
        "../workflow_scripts/write_report.py"
