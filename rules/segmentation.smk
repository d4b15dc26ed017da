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
    conda:
        ENVIRONMENT
    threads: SEGMENTER_THREADS
    resources:
        gpu=1,
    params:
        cfg=lambda wildcards: slices.segmenter(CONFIG["segmenters"][wildcards.segmenter]),
        code=lambda wildcards: code("train_segmenter", network(wildcards)),
    script:
        "../workflow_scripts/train_segmenter.py"
