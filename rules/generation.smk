rule train_generator:
    input:
        images=ancient(generator_files("images.npy")),
        masks=ancient(generator_files("masks.npy")),
        index=ancient(generator_files("index.csv")),
        cards=generator_files("card.json"),
    output:
        weights="results/{dataset}/generators/{generator}/weights.safetensors",
        card="results/{dataset}/generators/{generator}/card.json",
        history="results/{dataset}/generators/{generator}/history.csv",
        previews=report(
            "results/{dataset}/generators/{generator}/previews.png",
            caption="captions/previews.rst",
            category="Generators",
            labels={"generator": "{generator} on {dataset}"},
        ),
    log:
        "results/logs/train_generator/{dataset}-{generator}.log",
    benchmark:
        "results/benchmarks/train_generator/{dataset}-{generator}.jsonl"
    priority: 1  # most else waits for it; and where it takes all cores, it would wait for the last small job
    conda:
        ENVIRONMENT
    threads: GENERATOR_THREADS
    resources:
        gpu=lambda wildcards: CONFIG["generators"][wildcards.generator].get("gpu", 1),
    params:
        cfg=lambda wildcards: slices.generator(CONFIG["generators"][wildcards.generator]),
        code=lambda wildcards: code("train_generator", *kinds(wildcards.generator)),
    script:
        "../workflow_scripts/train_generator.py"


rule sample_pairs:
    input:
        weights=ancient(stage_files("weights.safetensors")),
        cards=stage_files("card.json"),
        real=lambda wildcards: origin_files("card.json")(wildcards)[0],
    output:
        **layout.store("results/{dataset}/{size}px/{source}/shard-{shard}"),
    log:
        "results/logs/sample_pairs/{dataset}-{size}px-{source}-{shard}.log",
    benchmark:
        "results/benchmarks/sample_pairs/{dataset}-{size}px-{source}-{shard}.jsonl"
    wildcard_constraints:
        source=names.alternatives(set(SOURCES) - set(AUGMENTED) - set(ADMITTED)),
    conda:
        ENVIRONMENT
    threads: SMALL_THREADS
    resources:
        gpu=lambda wildcards: SOURCES[wildcards.source]["gpu"],
    params:
        cfg=lambda wildcards: slices.source(CONFIG, wildcards.source),
        code=lambda wildcards: code("sample_pairs", *kinds(*slices.stages(CONFIG, wildcards.source))),
    script:
        "../workflow_scripts/sample_pairs.py"


rule trace_denoising:
    input:
        weights=ancient(first_stage("weights.safetensors")),
        card=first_stage("card.json"),
    output:
        images="results/{dataset}/denoising/{figure}/images.npy",
        masks="results/{dataset}/denoising/{figure}/masks.npy",
        card="results/{dataset}/denoising/{figure}/card.json",
    log:
        "results/logs/trace_denoising/{dataset}-{figure}.log",
    benchmark:
        "results/benchmarks/trace_denoising/{dataset}-{figure}.jsonl"
    conda:
        ENVIRONMENT
    threads: SMALL_THREADS
    resources:
        gpu=1,
    params:
        cfg=lambda wildcards: slices.denoising(CONFIG, wildcards.figure),
        code=lambda wildcards: code("trace_denoising", *kinds(slices.stages(CONFIG, CONFIG["figures"][wildcards.figure]["source"])[0])),
    script:
        "../workflow_scripts/trace_denoising.py"


rule augment_pairs:
    input:
        images=ancient(origin_files("images.npy")),
        masks=ancient(origin_files("masks.npy")),
        index=ancient(origin_files("index.csv")),
        cards=origin_files("card.json"),
    output:
        **layout.store("results/{dataset}/{size}px/{source}/shard-{shard}"),
    log:
        "results/logs/augment_pairs/{dataset}-{size}px-{source}-{shard}.log",
    benchmark:
        "results/benchmarks/augment_pairs/{dataset}-{size}px-{source}-{shard}.jsonl"
    wildcard_constraints:
        source=names.alternatives(AUGMENTED),
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: slices.augmentation(CONFIG, wildcards.dataset, wildcards.source),
        code=lambda wildcards: code("augment_pairs", module_of(SOURCES[wildcards.source]["augment"], AUGMENTATIONS)),
    script:
        "../workflow_scripts/augment_pairs.py"
