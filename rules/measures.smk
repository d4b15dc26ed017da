def measured(file):
    """One file of the store of a measured set, as an input function."""
    return lambda wildcards: f"{measures.store_of(wildcards.dataset, wildcards.size, wildcards.pairs)}/{file}"


def evaluator_network(wildcards):
    """The module of the evaluator's network."""
    return module_of(CONFIG["segmenters"][wildcards.segmenter]["network"], NETWORKS)


def evaluator_file(file):
    """One file of the trained evaluator: a segmenter of the real training pairs."""
    return f"results/{{dataset}}/{{size}}px/segmentation/real/{{segmenter}}/seed-{{seed}}/{file}"


def fidelity_inputs(wildcards):
    """Features and stores of the reference, then of all sets of what is measured."""
    place, by = (wildcards.dataset, wildcards.size), (wildcards.segmenter, wildcards.seed)
    sets = [measures.REFERENCE, *measures.sets_of(LAYOUT, *place, wildcards.measured)]
    features = [measures.features_of(*place, *by, pairs) for pairs in sets]
    stores = [measures.store_of(*place, pairs) for pairs in sets]
    return {
        "arrays": ancient(layout.files_of(features, *measures.FEATURES[:-1])),
        "features": layout.files_of(features, "card.json"),
        "pairs": ancient(layout.files_of(stores, "masks.npy", "index.csv")),
        "stores": layout.files_of(stores, "card.json"),
    }


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
        code=lambda wildcards: code("extract_features", evaluator_network(wildcards)),
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
        code=lambda wildcards: code("find_neighbours", evaluator_network(wildcards)),
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


rule tabulate_fidelity:
    input:
        unpack(lambda wildcards: measures.table_files(LAYOUT, wildcards.experiment)),
    output:
        csv=report("results/tables/{experiment}.csv", caption="captions/table.rst", category="Tables"),
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
