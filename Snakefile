from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/checking.smk"
include: "rules/generation.smk"
include: "rules/segmentation.smk"
include: "rules/evaluation.smk"
include: "rules/measures.smk"
include: "rules/gallery.smk"
include: "rules/selection.smk"
include: "rules/exporting.smk"
include: "rules/reporting.smk"


rule all:
    default_target: True
    input:
        targets(),
