rule pack_gallery:
    input:
        unpack(gallery_inputs),
    output:
        **gallery.outputs(CONFIG, gallery.folder("{dataset}", "{size}", "{source}")),
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
        cards=[f"{gallery.folder(place.dataset, place.size, place.source)}/card.json" for place in PLACES],
    output:
        page=report(gallery.PAGE, caption="captions/gallery.rst", category="Gallery"),
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
