"""The works that a run rests on: only those whose methods it used."""

from collections.abc import Collection

# Word -> reference. Words are kinds, codes, predictions and samplers of generators, networks of segmenters, methods, measures, and
# admitted for sources that admit.
WORKS = {
    "satsynth": "Toker, Eisenberger, Cremers, Leal-Taixé: SatSynth: Augmenting Image-Mask Pairs through Diffusion Models for Aerial "
    "Semantic Segmentation. CVPR 2024.",
    "ddpm": "Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models. NeurIPS 2020.",
    "bits": "Chen, Zhang, Hinton: Analog Bits: Generating Discrete Data using Diffusion Models with Self-Conditioning. ICLR 2023.",
    "upscaler": "Ho, Saharia, Chan, Fleet, Norouzi, Salimans: Cascaded Diffusion Models for High Fidelity Image Generation. JMLR 23, 2022.",
    "edm": "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS 2022.",
    "v": "Salimans, Ho: Progressive Distillation for Fast Sampling of Diffusion Models. ICLR 2022.",
    "ddim": "Song, Meng, Ermon: Denoising Diffusion Implicit Models. ICLR 2021.",
    "dpmpp_2m": "Lu, Zhou, Bao, Chen, Li, Zhu: DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models. "
    "arXiv:2211.01095, 2022.",
    "unipc": "Zhao, Bai, Rao, Zhou, Lu: UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models. "
    "NeurIPS 2023.",
    "semgan": "Li, Yang, Kreis, Torralba, Fidler: Semantic Segmentation with Generative Models: Semi-Supervised Learning and Strong "
    "Out-of-Domain Generalization. CVPR 2021.",
    "segdiff": "Amit, Shaharbany, Nachmani, Wolf: SegDiff: Image Segmentation with Diffusion Probabilistic Models. arXiv:2112.00390, 2021.",
    "admitted": "Yang, Xu, Kang, Shi, Zhao: FreeMask: Synthetic Images with Dense Annotations Make Stronger Segmentation Models. "
    "NeurIPS 2023.",
    "fpn": "Kirillov, Girshick, He, Dollár: Panoptic Feature Pyramid Networks. CVPR 2019.",
    "pspnet": "Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network. CVPR 2017.",
    "segformer": "Xie, Wang, Yu, Anandkumar, Alvarez, Luo: SegFormer: Simple and Efficient Design for Semantic Segmentation with "
    "Transformers. NeurIPS 2021.",
    "unet": "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015.",
    "farseg": "Zheng, Zhong, Wang, Ma: Foreground-Aware Relation Network for Geospatial Object Segmentation in High Spatial Resolution "
    "Remote Sensing Imagery. CVPR 2020.",
    "pfsegnet": "Li, He, Li, Li, Cheng, Shi, Weng, Tong, Lin: PointFlow: Flowing Semantics Through Points for Aerial Image Segmentation. "
    "CVPR 2021.",
    "cutout": "DeVries, Taylor: Improved Regularization of Convolutional Neural Networks with Cutout. arXiv:1708.04552, 2017.",
    "cutmix": "Yun, Han, Oh, Chun, Choe, Yoo: CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features. "
    "ICCV 2019.",
    "copy_paste": "Ghiasi, Cui, Srinivas, Qian, Lin, Cubuk, Le, Zoph: Simple Copy-Paste is a Strong Data Augmentation Method for Instance "
    "Segmentation. CVPR 2021.",
    "fid": "Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash "
    "Equilibrium. NeurIPS 2017 (FID).",
    "sfid": "Nash, Menick, Dieleman, Battaglia: Generating Images with Sparse Representations. ICML 2021 (sFID).",
    "is": "Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen: Improved Techniques for Training GANs. NeurIPS 2016 (IS).",
    "kid": "Bińkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs. ICLR 2018 (KID).",
    "precision": "Kynkäänniemi, Karras, Laine, Lehtinen, Aila: Improved Precision and Recall Metric for Assessing Generative Models. "
    "NeurIPS 2019.",
    "coverage": "Naeem, Oh, Uh, Choi, Yoo: Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020 (density, coverage).",
}
MEASURES = ("fid", "sfid", "is", "kid", "precision", "coverage")


def references(used: Collection[str], measured: bool) -> list[str]:
    """The works of these words, in the order of `WORKS`; those of the measures where there is a table of view fidelity.

    Args:
        used: words of which some are keys of `WORKS`; others are passed over. The paper itself is always among the works.
        measured: see above.
    """
    wanted = {"satsynth", *used, *(MEASURES if measured else ())}
    return [work for word, work in WORKS.items() if word in wanted]
