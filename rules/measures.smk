rule extract_features:
    input:
        weights=ancient(evaluator_file("weights.safetensors")),
        card=evaluator_file("card.json"),
        images=ancient(measured("images.npy")),
        masks=ancient(measured("masks.npy")),
        index=ancient(measured("index.csv")),
        store=measured("card.json"),
    output:
        pooled="results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}/pooled.npy",
        spatial="results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}/spatial.npy",
        probabilities="results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}/probabilities.npy",
        entropy="results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}/entropy.npy",
        card="results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}/card.json",
    log:
        "results/logs/extract_features/{dataset}-{size}px-{segmenter}-{seed}-{pairs}.log",
    benchmark:
        "results/benchmarks/extract_features/{dataset}-{size}px-{segmenter}-{seed}-{pairs}.jsonl"
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        code=lambda wildcards: code("extract_features", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/extract_features.py"


rule find_neighbours:
    input:
        weights=ancient(evaluator_file("weights.safetensors")),
        card=evaluator_file("card.json"),
        images=ancient(measured("images.npy")),
        masks=ancient(measured("masks.npy")),
        index=ancient(measured("index.csv")),
        store=measured("card.json"),
        train_images=ancient(f"{layout.real('{dataset}', '{size}')}/images.npy"),
        train_masks=ancient(f"{layout.real('{dataset}', '{size}')}/masks.npy"),
        train_index=ancient(f"{layout.real('{dataset}', '{size}')}/index.csv"),
        train_store=f"{layout.real('{dataset}', '{size}')}/card.json",
        pooled=ancient(f"results/{{dataset}}/{{size}}px/features/{{segmenter}}-{{seed}}/{measures.REFERENCE}/pooled.npy"),
        features=f"results/{{dataset}}/{{size}}px/features/{{segmenter}}-{{seed}}/{measures.REFERENCE}/card.json",
    output:
        neighbours="results/{dataset}/{size}px/neighbours/{segmenter}-{seed}/{pairs}/neighbours.csv",
        card="results/{dataset}/{size}px/neighbours/{segmenter}-{seed}/{pairs}/card.json",
    log:
        "results/logs/find_neighbours/{dataset}-{size}px-{segmenter}-{seed}-{pairs}.log",
    benchmark:
        "results/benchmarks/find_neighbours/{dataset}-{size}px-{segmenter}-{seed}-{pairs}.jsonl"
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        cfg={"pixels": CONFIG["measures"]["pixels"]},
        code=lambda wildcards: code("find_neighbours", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/find_neighbours.py"


rule score_fidelity:
    input:
        unpack(fidelity_inputs),
    output:
        fidelity="results/{dataset}/{size}px/fidelity/{segmenter}-{seed}/{measured}.json",
    log:
        "results/logs/score_fidelity/{dataset}-{size}px-{segmenter}-{seed}-{measured}.log",
    benchmark:
        "results/benchmarks/score_fidelity/{dataset}-{size}px-{segmenter}-{seed}-{measured}.jsonl"
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        cfg=measures.numbers(CONFIG),
        code=code("score_fidelity"),
    script:
        "../workflow_scripts/score_fidelity.py"


rule compare_labels:
    input:
        unpack(compared_inputs),
    output:
        changes="results/{dataset}/{size}px/label_changes/{source}-{baseline}.json",
    log:
        "results/logs/compare_labels/{dataset}-{size}px-{source}-{baseline}.log",
    benchmark:
        "results/benchmarks/compare_labels/{dataset}-{size}px-{source}-{baseline}.jsonl"
    conda:
        ENVIRONMENT
    params:
        code=code("compare_labels"),
    script:
        "../workflow_scripts/compare_labels.py"


rule tabulate_fidelity:
    input:
        unpack(fidelity_table_inputs),
    output:
        csv=report("results/tables/{experiment}.csv", caption="captions/table.rst", category="Tables", labels={"table": "{experiment}"}),
        md="results/tables/{experiment}.md",
        tex="results/tables/{experiment}.tex",
    log:
        "results/logs/tabulate_fidelity/{experiment}.log",
    benchmark:
        "results/benchmarks/tabulate_fidelity/{experiment}.jsonl"
    wildcard_constraints:
        experiment=names.alternatives(measures.tables(CONFIG)),
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: measures.table(LAYOUT, wildcards.experiment),
        code=code("tabulate_fidelity"),
    script:
        "../workflow_scripts/tabulate_fidelity.py"
