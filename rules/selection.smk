JUDGED = admission.folder("{dataset}", "{size}", "{segmenter}", "{seed}")


rule describe_bank:
    input:
        **tracked_store(layout.real("{dataset}", "{size}", "{split}"), "store_"),
        weights=ancient(judge_file("weights.safetensors")),
        card=judge_file("card.json"),
    output:
        pooled=f"{JUDGED}/features/{{split}}/pooled.npy",
        spatial=f"{JUDGED}/features/{{split}}/spatial.npy",
        probabilities=f"{JUDGED}/features/{{split}}/probabilities.npy",
        entropy=f"{JUDGED}/features/{{split}}/entropy.npy",
        card=f"{JUDGED}/features/{{split}}/card.json",
    log:
        "results/logs/describe_bank/{dataset}-{size}px-{segmenter}-{seed}-{split}.log",
    benchmark:
        "results/benchmarks/describe_bank/{dataset}-{size}px-{segmenter}-{seed}-{split}.jsonl"
    wildcard_constraints:
        split="train|fit",
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        code=lambda wildcards: code("describe_bank", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/describe_bank.py"


rule score_pairs:
    input:
        unpack(scored_files),
        unpack(bank_files),
        weights=ancient(judge_file("weights.safetensors")),
        card=judge_file("card.json"),
        learned=f"{layout.real('{dataset}', '{size}', 'fit')}/card.json",
    output:
        losses=f"{JUDGED}/scores/{{scored}}/losses.npy",
        neighbours=f"{JUDGED}/scores/{{scored}}/neighbours.csv",
        card=f"{JUDGED}/scores/{{scored}}/card.json",
    log:
        "results/logs/score_pairs/{dataset}-{size}px-{segmenter}-{seed}-{scored}.log",
    benchmark:
        "results/benchmarks/score_pairs/{dataset}-{size}px-{segmenter}-{seed}-{scored}.jsonl"
    wildcard_constraints:
        scored=admission.scored_pattern(CONFIG),
    conda:
        ENVIRONMENT
    threads: SCORING_THREADS
    resources:
        gpu=1,
    params:
        cfg={"pixels": CONFIG["measures"]["pixels"]},
        code=lambda wildcards: code("score_pairs", *networks(wildcards.segmenter)),
    script:
        "../workflow_scripts/score_pairs.py"


rule calibrate_admission:
    input:
        **tracked_store(layout.real("{dataset}", "{size}", "held"), "store_"),
        losses=ancient(f"{JUDGED}/scores/{admission.CALIBRATED}/losses.npy"),
        neighbours=ancient(f"{JUDGED}/scores/{admission.CALIBRATED}/neighbours.csv"),
        scores=f"{JUDGED}/scores/{admission.CALIBRATED}/card.json",
    output:
        calibration=f"{JUDGED}/calibration.json",
    log:
        "results/logs/calibrate_admission/{dataset}-{size}px-{segmenter}-{seed}.log",
    benchmark:
        "results/benchmarks/calibrate_admission/{dataset}-{size}px-{segmenter}-{seed}.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg={"min_pixels": CONFIG["admission"]["min_pixels"]},
        code=code("calibrate_admission"),
    script:
        "../workflow_scripts/calibrate_admission.py"


# The decisions alone: another threshold comes back here, and not to the judge.
rule admit_pairs:
    input:
        unpack(admission_files),
    output:
        **layout.store("results/{dataset}/{size}px/{source}/shard-{shard}"),
        decisions=f"results/{{dataset}}/{{size}}px/{{source}}/shard-{{shard}}/{admission.DECISIONS}",
    log:
        "results/logs/admit_pairs/{dataset}-{size}px-{source}-{shard}.log",
    benchmark:
        "results/benchmarks/admit_pairs/{dataset}-{size}px-{source}-{shard}.jsonl"
    wildcard_constraints:
        source=names.alternatives(ADMITTED),
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: admission.decisions(CONFIG, wildcards.source),
        code=code("admit_pairs"),
    script:
        "../workflow_scripts/admit_pairs.py"


rule tabulate_selection:
    input:
        confusions=ancient(lambda wildcards: LAYOUT.run_files(wildcards.experiment, "confusion.npy")),
        runs=lambda wildcards: LAYOUT.run_files(wildcards.experiment, "card.json", "metrics.json"),
        real=lambda wildcards: LAYOUT.ground(wildcards.experiment),
        indices=ancient(lambda wildcards: LAYOUT.scene_indices(wildcards.experiment)),
        admissions=lambda wildcards: LAYOUT.admissions(wildcards.experiment),
    output:
        csv=report("results/tables/{experiment}.csv", caption="captions/table.rst", category="Tables"),
        md="results/tables/{experiment}.md",
        tex="results/tables/{experiment}.tex",
        choice=selection.choice_of("{experiment}"),
    log:
        "results/logs/tabulate_selection/{experiment}.log",
    benchmark:
        "results/benchmarks/tabulate_selection/{experiment}.jsonl"
    wildcard_constraints:
        experiment=names.alternatives(SELECTIONS),
    conda:
        ENVIRONMENT
    params:
        cfg=lambda wildcards: selection.table(LAYOUT, wildcards.experiment),
        code=code("tabulate_selection"),
    script:
        "../workflow_scripts/tabulate_selection.py"
