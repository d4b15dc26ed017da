"""An export read by other people's training stacks, every pixel compared.

    make test-stacks                        # a small set that is made for it
    make test-stacks EXPORT=results/exports/trainset

Hugging Face datasets, webdataset, torchgeo and segmentation-models-pytorch are read in the tests too; Ultralytics and mmsegmentation are
installed for this alone (envs/requirements-stacks.txt), into a folder of their own.
"""
