# One rule an export: which folders it writes is part of its stanza.
for export in CONFIG["exports"]:

    rule:
        name:
            f"export_pairs_{export}"
        input:
            unpack(lambda wildcards, export=export: export_inputs(export)),
        output:
            **exports.outputs(export),
            **{part: directory(folder) for part, folder in exports.folders(CONFIG, export).items()},
        log:
            f"results/logs/export_pairs/{export}.log",
        benchmark:
            f"results/benchmarks/export_pairs/{export}.jsonl"
        conda:
            ENVIRONMENT
        threads: TRAINING_THREADS if ELSEWHERE else workflow.cores
        params:
            cfg=exports.export(CONFIG, export),
            code=code("export_pairs"),
        script:
            "../workflow_scripts/export_pairs.py"
