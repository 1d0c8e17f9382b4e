"""MedSAM: the published names and outputs, and several boxes or images at a time."""

from __future__ import annotations

import pytest
import segment_anything
import torch

from models.networks.sam import PromptableNetwork, medsam_vit_b
from tests.models.reference.parity import ParityKit, assert_golden, n_parameters, shapes_of

NAME = "sam_vit_b__medsam_vit_b"
CPU_AND_GPU = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def kit(shared_parity):
    return ParityKit(shared_parity)


@pytest.fixture(scope="module")
def filled(kit):
    """Return MedSAM with the kit's weights."""
    return kit.fill_network(medsam_vit_b())


@pytest.fixture(scope="module")
def reference(filled):
    """Return the package's own SAM ViT-B with the same weights."""
    sam = segment_anything.sam_model_registry["vit_b"]()
    sam.load_state_dict(filled.state_dict())
    return sam.eval()


def test_state_dict_is_the_published_one(kit, filled):
    assert shapes_of(filled) == kit.keys(NAME)
    assert len(filled.state_dict()) == 314
    assert n_parameters(filled) == 93_735_472
    assert n_parameters(filled.image_encoder) == 89_670_912
    assert n_parameters(filled.mask_decoder) == 4_058_340


def test_encoder_is_the_packages_vit_b(filled, reference):
    """Comparing how it is built costs nothing; running it takes a quarter of a minute."""
    ours, theirs = filled.image_encoder, reference.image_encoder
    assert repr(ours) == repr(theirs)
    assert [b.window_size for b in ours.blocks] == [b.window_size for b in theirs.blocks]
    assert [b.attn.num_heads for b in ours.blocks] == [b.attn.num_heads for b in theirs.blocks]
    assert ours.img_size == theirs.img_size == filled.image_size


@pytest.mark.slow
@pytest.mark.parametrize("device", CPU_AND_GPU)
def test_golden_embedding_and_logits(kit, filled, device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    golden = kit.goldens[NAME]
    network = filled.to(device)
    box = torch.tensor([[100.0, 200.0, 500.0, 600.0]], device=device)
    with torch.inference_mode():
        embedding = network.image_encoder(kit.input(1, 3, 1024, 1024).to(device))
        sparse, _ = network.prompt_encoder(points=None, boxes=box, masks=None)
        low, iou = network.decode(embedding, box)
    filled.cpu()
    assert_golden(embedding, golden["embedding"], atol=1e-4)
    assert_golden(sparse, golden["sparse"])
    assert_golden(low, golden["low_res_logits"])
    assert iou.item() == pytest.approx(golden["iou"], rel=1e-4, abs=1e-5)


BOXES = torch.tensor([[100.0, 200.0, 500.0, 600.0], [5.0, 9.0, 80.0, 70.0], [0.0, 0.0, 1e3, 900.0]])


def embedding_of(seed: int) -> torch.Tensor:
    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_decoding_is_the_packages(filled, reference):
    with torch.inference_mode():
        sparse, dense = reference.prompt_encoder(points=None, boxes=BOXES[:1], masks=None)
        wanted, wanted_iou = reference.mask_decoder(
            image_embeddings=embedding_of(1),
            image_pe=reference.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        low, iou = filled.decode(embedding_of(1), BOXES[:1])
    torch.testing.assert_close(low, wanted)
    torch.testing.assert_close(iou, wanted_iou)


def test_several_boxes_in_one_call_are_as_many_calls(filled):
    with torch.inference_mode():
        together, iou = filled.decode(embedding_of(2), BOXES)
        alone = [filled.decode(embedding_of(2), box[None]) for box in BOXES]
    assert together.shape == (3, 1, 256, 256)
    assert iou.shape == (3, 1)
    torch.testing.assert_close(together, torch.cat([a[0] for a in alone]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou, torch.cat([a[1] for a in alone]), rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_boxes_may_have_the_references_extra_axis(filled):
    with torch.inference_mode():
        flat, _ = filled.decode(embedding_of(3), BOXES)
        nested, _ = filled.decode(embedding_of(3), BOXES[:, None])
    assert torch.equal(flat, nested)


class _Remember(torch.nn.Module):
    """Stands in for an encoder: looks up an embedding by the image's first value."""

    def forward(self, image):
        return torch.cat([embedding_of(int(one[0, 0, 0])) for one in image])


def test_several_images_each_get_their_own_box(filled):
    network = PromptableNetwork(_Remember(), 1024).eval()
    network.load_state_dict(
        {k: v for k, v in filled.state_dict().items() if not k.startswith("image_encoder")}
    )
    images = torch.zeros(2, 3, 8, 8)
    images[1] = 1.0
    with torch.inference_mode():
        together = network(images, BOXES[:2])
        alone = torch.cat([network(images[i : i + 1], BOXES[i : i + 1]) for i in range(2)])
        assert network(images[:1], BOXES).shape == (3, 1, 256, 256)
    assert together.shape == (2, 1, 256, 256)
    torch.testing.assert_close(together, alone)
    with pytest.raises(ValueError, match="3 boxes for 2 images"):
        network(images, BOXES)
