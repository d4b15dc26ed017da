rule evaluate_segmenter:
    input:
        weights=ancient(rules.train_segmenter.output.weights),
        card=rules.train_segmenter.output.card,
        images=ancient(test_store("images.npy")),
        masks=ancient(test_store("masks.npy")),
        index=ancient(test_store("index.csv")),
        store=test_store("card.json"),
    output:
        metrics="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/metrics.json",
        confusion="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/confusion.npy",
    log:
        "results/logs/evaluate_segmenter/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.log",
    benchmark:
        "results/benchmarks/evaluate_segmenter/{dataset}-{size}px-{training_set}-{segmenter}-{seed}.jsonl"
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        cfg=lambda wildcards: slices.evaluation(CONFIG["segmenters"][wildcards.segmenter]),
        code=lambda wildcards: code("evaluate_segmenter", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/evaluate_segmenter.py"


rule predict_masks:
    input:
        weights=ancient(rules.train_segmenter.output.weights),
        card=rules.train_segmenter.output.card,
        images=ancient(test_store("images.npy")),
        masks=ancient(test_store("masks.npy")),
        index=ancient(test_store("index.csv")),
        store=test_store("card.json"),
    output:
        masks="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/predictions/{figure}/masks.npy",
        rows="results/{dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/predictions/{figure}/card.json",
    log:
        "results/logs/predict_masks/{dataset}-{size}px-{training_set}-{segmenter}-{seed}-{figure}.log",
    benchmark:
        "results/benchmarks/predict_masks/{dataset}-{size}px-{training_set}-{segmenter}-{seed}-{figure}.jsonl"
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        cfg=lambda wildcards: slices.predictions(CONFIG, wildcards.figure, wildcards.segmenter),
        code=lambda wildcards: code("predict_masks", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/predict_masks.py"
