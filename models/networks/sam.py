"""MedSAM and LiteMedSAM: an image encoder, and SAM's prompt encoder and mask decoder.

A. Kirillov et al.: "Segment Anything", arXiv 2304.02643; J. Ma et al.: "Segment anything in medical
images", Nature Communications 15:654 (2024), arXiv 2304.12306. The modules of SAM come from the
package `segment_anything`; names of weights are those of the published checkpoints.
"""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    TwoWayTransformer,
)
from torch import nn

from models.networks.tiny_vit import TinyViT

# Channels and side of an image embedding; both encoders end in the same neck.
EMBEDDING_CHANNELS = 256
EMBEDDING_SIDE = 64


class PromptableNetwork(nn.Module):
    """An image encoder, run once per image, and a decoder, run once per prompt.

    Attributes
    ----------
    image_encoder : nn.Module
        (B, 3, S, S) to (B, 256, 64, 64).
    prompt_encoder : PromptEncoder
    mask_decoder : MaskDecoder
    image_size : int
        S.
    """

    def __init__(self, image_encoder: nn.Module, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(
            embed_dim=EMBEDDING_CHANNELS,
            image_embedding_size=(EMBEDDING_SIDE, EMBEDDING_SIDE),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBEDDING_CHANNELS, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=EMBEDDING_CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        )

    def decode(
        self, embedding: torch.Tensor, boxes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (N, 1, 256, 256) and predicted IoUs (N, 1) of N boxes on one image.

        Parameters
        ----------
        embedding : (1, 256, 64, 64)
        boxes : (N, 4) or (N, 1, 4)
            x0, y0, x1, y1 in the encoder's pixels.
        """
        sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=None)
        return self.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )

    def forward(self, image: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Return low-resolution logits (N, 1, 256, 256).

        Parameters
        ----------
        image : (B, 3, S, S)
            Prepared as `models.medsam_processing` does.
        boxes : (N, 4) or (N, 1, 4)
            N boxes on one image, or as many boxes as images.

        Raises
        ------
        ValueError
            Several images and another number of boxes.
        """
        embeddings = self.image_encoder(image)
        if len(embeddings) == 1:
            return self.decode(embeddings, boxes)[0]
        if len(embeddings) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes for {len(embeddings)} images")
        # One by one: SAM's decoder pairs every box with every image.
        return torch.cat(
            [
                self.decode(embeddings[i : i + 1], boxes[i : i + 1])[0]
                for i in range(len(embeddings))
            ]
        )


def sam_vit(
    *,
    hidden: int = 768,
    depth: int = 12,
    heads: int = 12,
    global_layers: tuple[int, ...] = (2, 5, 8, 11),
) -> PromptableNetwork:
    """Return SAM with a ViT encoder at 1024 pixels; ViT-B by default."""
    encoder = ImageEncoderViT(
        depth=depth,
        embed_dim=hidden,
        img_size=1024,
        mlp_ratio=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=heads,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=global_layers,
        window_size=14,
        out_chans=EMBEDDING_CHANNELS,
    )
    return PromptableNetwork(encoder, 1024)


def medsam_vit_b() -> PromptableNetwork:
    """Return MedSAM (SAM ViT-B) without weights: 93,735,472 parameters, 314 names."""
    return sam_vit()


def lite_medsam() -> PromptableNetwork:
    """Return LiteMedSAM without weights: 9,791,300 parameters, 435 names."""
    return PromptableNetwork(TinyViT(n_out=EMBEDDING_CHANNELS), 256)
