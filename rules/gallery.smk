rule pack_gallery:
    input:
        unpack(gallery_inputs),
    output:
        **gallery_outputs("{dataset}", "{size}", "{source}"),
    log:
        "results/logs/pack_gallery/{dataset}-{size}px-{source}.log",
    benchmark:
        "results/benchmarks/pack_gallery/{dataset}-{size}px-{source}.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=gallery.slice_of(CONFIG),
        code=code("pack_gallery"),
    script:
        "../workflow_scripts/pack_gallery.py"


rule build_gallery:
    input:
        cards=gallery.files(PLACES, "card.json"),
        last=ancient(gallery.files(PLACES, gallery.last_part(CONFIG))),
    output:
        page=gallery.PAGE,
    log:
        "results/logs/build_gallery.log",
    benchmark:
        "results/benchmarks/build_gallery.jsonl"
    conda:
        ENVIRONMENT
    params:
        cfg=gallery.page(LAYOUT),
        code=code("build_gallery"),
    script:
        "../workflow_scripts/build_gallery.py"
