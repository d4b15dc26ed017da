rule train_segmenter:
    input:
        images=ancient(set_files("images.npy")),
        masks=ancient(set_files("masks.npy")),
        index=ancient(set_files("index.csv")),
        cards=set_files("card.json"),
    output:
        weights="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/weights.safetensors",
        card="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/card.json",
        history="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/history.csv",
    log:
        "results/logs/train_segmenter/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.log",
    benchmark:
        "results/benchmarks/train_segmenter/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.jsonl"
    wildcard_constraints:
        segmenter=names.alternatives(set(CONFIG["segmenters"]) - set(ENCODERS)),
    conda:
        ENVIRONMENT
    threads: SMALL_THREADS
    resources:
        gpu=lambda wildcards: CONFIG["segmenters"][wildcards.segmenter]["gpu"],
    params:
        cfg=lambda wildcards: slices.segmenter(CONFIG["segmenters"][wildcards.segmenter]),
        code=lambda wildcards: code("train_segmenter", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/train_segmenter.py"


# Other inputs and other code than the rule above, and the same outputs: what scores and predicts need not know the difference.
rule train_encoder:
    input:
        images=ancient(set_files("images.npy")),
        masks=ancient(set_files("masks.npy")),
        index=ancient(set_files("index.csv")),
        cards=set_files("card.json"),
        part_weights=ancient(part_files("weights.safetensors")),
        part_cards=part_files("card.json"),
        train_store=f"{layout.real('{dataset}', '{size}')}/card.json",
    output:
        weights="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/weights.safetensors",
        card="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/card.json",
        history="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/history.csv",
    log:
        "results/logs/train_encoder/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.log",
    benchmark:
        "results/benchmarks/train_encoder/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.jsonl"
    wildcard_constraints:
        segmenter=names.alternatives(ENCODERS),
    conda:
        ENVIRONMENT
    threads: SMALL_THREADS
    resources:
        gpu=lambda wildcards: CONFIG["segmenters"][wildcards.segmenter]["gpu"],
    params:
        cfg=lambda wildcards: slices.encoder(CONFIG, wildcards.dataset, wildcards.segmenter),
        code=lambda wildcards: code("train_encoder", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/train_encoder.py"
