"""What every runtime must do; a test module of a runtime inherits this and names it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import ArtifactError, ConfigError
from reid.runtime import Runtime, open_artifact
from tests.contract.deployment import SPEC, people, tiny_artifact, tiny_network, torch_embeddings


class RuntimeContract:
    """Subclass it as `TestX`.

    Attributes:
        target: to open artifacts on.
        batch_atol: by which an embedding may depend on how many images are computed at once.
    """

    target: Target
    batch_atol = 1e-5

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Runtime:
        return open_artifact(tiny_artifact(tmp_path).path, self.target)

    def test_knows_what_it_opened(self, runtime: Runtime) -> None:
        assert (runtime.spec, runtime.scheme) == (SPEC, "fp32")

    def test_embeds_as_torch_does(self, runtime: Runtime) -> None:
        images = people(5)
        embeddings = runtime.embed(images)
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, torch_embeddings(tiny_network(), images), atol=1e-5)

    def test_rows_have_length_one(self, runtime: Runtime) -> None:
        np.testing.assert_allclose(np.linalg.norm(runtime.embed(people(9)), axis=1), 1, atol=1e-6)

    def test_many_images_at_once_are_each_as_alone(self, runtime: Runtime) -> None:
        images = people(70)
        together = runtime.embed(images)
        alone = np.concatenate([runtime.embed(image[None]) for image in images])
        np.testing.assert_allclose(together, alone, atol=self.batch_atol)

    def test_strided_and_read_only_images(self, runtime: Runtime) -> None:
        images = people(12)
        expected = runtime.embed(np.ascontiguousarray(images[::3]))
        images.flags.writeable = False
        np.testing.assert_array_equal(runtime.embed(images[::3]), expected)

    def test_no_images_give_no_rows(self, runtime: Runtime) -> None:
        assert runtime.embed(people(0)).shape == (0, SPEC.embedding_dim)

    def test_flip_adds_the_mirror_image(self, runtime: Runtime, tmp_path: Path) -> None:
        images = people(6)
        (tmp_path / "flip").mkdir()
        flipping = open_artifact(tiny_artifact(tmp_path / "flip", flip=True).path, self.target)
        total = runtime.embed(images) + runtime.embed(np.ascontiguousarray(images[:, :, ::-1]))
        expected = total / np.linalg.norm(total, axis=1, keepdims=True)
        np.testing.assert_allclose(flipping.embed(images), expected, atol=1e-6)

    def test_m8_normalised_images_are_refused(self, runtime: Runtime) -> None:
        with pytest.raises(ConfigError, match="already normalised"):
            runtime.embed(SPEC.normalise(people(1)).transpose(0, 2, 3, 1))

    def test_m8_wrong_size_is_refused_with_both_sizes(self, runtime: Runtime) -> None:
        with pytest.raises(ConfigError, match=r"64x32.*48x24"):
            runtime.embed(people(1, 64, 32))

    @pytest.mark.parametrize(
        "images",
        [people(1)[0], people(1).transpose(0, 3, 1, 2), people(1)[..., :1], people(1).astype(np.int32)],
    )
    def test_other_arrays_are_refused(self, runtime: Runtime, images: NDArray[np.uint8]) -> None:
        with pytest.raises(ConfigError, match="images must be"):
            runtime.embed(images)

    def test_timer_can_run_again_and_again(self, runtime: Runtime) -> None:
        run = runtime.timer()
        before = runtime.embed(people(2))
        run()
        run()
        np.testing.assert_array_equal(runtime.embed(people(2)), before)

    def test_opens_the_folder_of_an_artifact(self, tmp_path: Path) -> None:
        tiny_artifact(tmp_path)
        assert open_artifact(tmp_path, self.target).spec == SPEC

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match=r"cannot read .*absent\.onnx: No such file"):
            open_artifact(tmp_path / "absent.onnx", self.target)

    @pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
    def test_torn_file_is_refused(self, tmp_path: Path, keep: float) -> None:
        path = tiny_artifact(tmp_path).path
        content = path.read_bytes()
        path.write_bytes(content[: int(keep if isinstance(keep, int) else keep * len(content))])
        with pytest.raises(ArtifactError) as caught:
            open_artifact(path, self.target)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
