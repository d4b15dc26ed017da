for demo in [name for name, stanza in DATASETS.items() if stanza["format"] == "demo"]:

    rule:
        name:
            f"generate_scenes_{demo}"
        output:
            card=f"results/{demo}/raw/scenes.json",
            images=layout.scenes(demo, "images", DATASETS[demo]["world"]["scenes"]),
            masks=layout.scenes(demo, "masks", DATASETS[demo]["world"]["scenes"]),
        log:
            f"results/logs/generate_scenes/{demo}.log",
        benchmark:
            f"results/benchmarks/generate_scenes/{demo}.jsonl"
        conda:
            ENVIRONMENT
        params:
            cfg=slices.scenes(DATASETS[demo]),
            code=code("generate_scenes"),
        script:
            "../workflow_scripts/generate_scenes.py"


# One rule a dataset: how many sizes it writes is part of the dataset's stanza.
for dataset in DATASETS:

    rule:
        name:
            f"tile_patches_{dataset}"
        input:
            **raw_inputs(dataset),
        output:
            **tile_outputs(dataset),
        log:
            f"results/logs/tile_patches/{dataset}-{{split}}.log",
        benchmark:
            f"results/benchmarks/tile_patches/{dataset}-{{split}}.jsonl"
        wildcard_constraints:
            split="train|val",
        conda:
            ENVIRONMENT
        params:
            cfg=lambda wildcards, dataset=dataset: slices.tiles(DATASETS[dataset], wildcards.split),
            code=code("tile_patches", module_of(DATASETS[dataset]["format"], FORMATS)),
            raw=lambda wildcards, dataset=dataset: raw_digest(dataset),
            # A Path is not tracked: where the raw files lie is no part of what the patches depend on. Scenes that a rule makes lie where its
            # output is brought to, which with remote storage is a folder of Snakemake's.
            root=lambda wildcards, input, dataset=dataset: Path(input.card).parent if input else raw_root(dataset),
        script:
            "../workflow_scripts/tile_patches.py"


rule cut_fit:
    input:
        **tracked_store(layout.real("{dataset}", "{size}")),
    output:
        **layout.store(layout.real("{dataset}", "{size}", "fit"), "fit_"),
        **layout.store(layout.real("{dataset}", "{size}", "held"), "held_"),
    log:
        "results/logs/cut_fit/{dataset}-{size}px.log",
    benchmark:
        "results/benchmarks/cut_fit/{dataset}-{size}px.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.held(DATASETS[wildcards.dataset]),
        code=code("cut_fit"),
    script:
        "../workflow_scripts/cut_fit.py"


rule describe_classes:
    output:
        classes=layout.classes("{dataset}"),
    log:
        "results/logs/describe_classes/{dataset}.log",
    benchmark:
        "results/benchmarks/describe_classes/{dataset}.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.label_space(DATASETS[wildcards.dataset]),
        code=lambda wildcards: code("describe_classes", module_of(DATASETS[wildcards.dataset]["format"], FORMATS)),
    script:
        "../workflow_scripts/describe_classes.py"
