# A look at raw data before anything is trained on them: snakemake check_data --configfile my.yaml


rule inspect_data:
    input:
        unpack(lambda wildcards: raw_inputs(wildcards.dataset)),
    output:
        page="results/check_data/{dataset}/index.html",
        preview="results/check_data/{dataset}/preview.png",
        report="results/check_data/{dataset}/report.json",
    log:
        "results/logs/inspect_data/{dataset}.log",
    benchmark:
        "results/benchmarks/inspect_data/{dataset}.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.inspection(DATASETS[wildcards.dataset]),
        code=lambda wildcards: code("inspect_data", module_of(DATASETS[wildcards.dataset]["format"], FORMATS)),
        raw=lambda wildcards: raw_facts(wildcards.dataset),
        # As for tiling: a Path is not tracked.
        root=lambda wildcards, input: Path(input.card).parent if input else raw_root(wildcards.dataset),
    script:
        "../workflow_scripts/inspect_data.py"


# Without an output, so that it speaks every time it is asked; here, so that it is heard where jobs go to a cluster.
rule check_data:
    input:
        pages=expand("results/check_data/{dataset}/index.html", dataset=checked_datasets()),
        reports=expand("results/check_data/{dataset}/report.json", dataset=checked_datasets()),
    log:
        "results/logs/check_data.log",
    localrule: True
    conda:
        ENVIRONMENT
    script:
        "../workflow_scripts/check_data.py"
