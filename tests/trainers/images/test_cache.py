from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import DataError
from foldtune.trainers.images.cache import CachedImages, DecodedImages, prepare_images
from foldtune.trainers.images.deep_pixels import PixelLimits, Window
from foldtune.trainers.images.preprocess import ImagePreprocessing
from tests.images import decode

SIZE = (6, 9)
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    found = [tmp_path / "images" / f"{i}.png" for i in range(20)]
    found[0].parent.mkdir()
    for path in found:
        Image.fromarray(rng.integers(0, 255, (12, 18, 3), dtype=np.uint8)).save(path)
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def stored(cache: Path) -> Path:
    """The one file of pixels under a cache folder."""
    (found,) = cache.rglob("*.npy")
    return found


def test_cached_and_decoded_images_are_the_same(paths: list[Path], cache: Path) -> None:
    cached = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)
    decoded = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=None)
    assert isinstance(cached.source, CachedImages)
    assert isinstance(decoded.source, DecodedImages)
    rows = np.array([3, 19, 0, 3])
    expected = np.stack([decode(paths[row], SIZE) for row in rows])
    for prepared in (cached, decoded):
        assert prepared.source.shape == (20, 6, 9, 3)
        assert len(prepared.source) == 20
        assert prepared.keep.all()
        assert prepared.broken == ()
        assert np.array_equal(prepared.source.read(rows), expected)


def test_a_batch_can_be_written_to_without_harm(paths: list[Path], cache: Path) -> None:
    source = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).source
    before = source.read(np.arange(4))
    source.read(np.arange(4))[:] = 0
    assert np.array_equal(source.read(np.arange(4)), before)


def test_pool_and_single_process_build_the_same_file(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "ham10000" / "images").iterdir())[:400]
    seen: list[tuple[int, int]] = []
    files = []
    for workers in (1, 2):
        prepare_images(
            paths,
            ImagePreprocessing((16, 16)),
            cache_dir=tmp_path / str(workers),
            workers=workers,
            progress=lambda done, total: seen.append((done, total)),
        )
        files.append(stored(tmp_path / str(workers)).read_bytes())
    assert files[0] == files[1]
    assert seen[-1] == (400, 400)
    assert [done for done, _ in seen[len(seen) // 2 :]] == sorted(done for done, _ in seen[len(seen) // 2 :])


def test_a_finished_cache_is_used_and_not_built_again(paths: list[Path], cache: Path) -> None:
    prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)
    calls: list[int] = []
    before = stored(cache).stat()
    prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, progress=lambda done, _: calls.append(done))
    assert calls == []
    assert stored(cache).stat().st_ino == before.st_ino


def test_other_files_or_settings_have_another_cache(paths: list[Path], cache: Path) -> None:
    prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)
    prepare_images(paths, ImagePreprocessing((9, 6)), cache_dir=cache)
    prepare_images(paths, ImagePreprocessing(SIZE, "crop"), cache_dir=cache)
    prepare_images(paths[:-1], ImagePreprocessing(SIZE), cache_dir=cache)
    assert len(list(cache.rglob("*.npy"))) == 4
    Image.new("RGB", (12, 18), "red").save(paths[0])
    source = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).source
    assert (source.read(np.array([0])) == (255, 0, 0)).all()


@pytest.mark.parametrize("damage", ["truncated", "grown", "no meta", "torn meta", "no file"])
def test_a_damaged_cache_is_built_again(paths: list[Path], cache: Path, damage: str) -> None:
    whole = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).source.read(np.arange(20))
    file, meta = stored(cache), stored(cache).with_name("meta.json")
    if damage == "truncated":
        os.truncate(file, file.stat().st_size - 100)
    elif damage == "grown":
        os.truncate(file, file.stat().st_size + 100)
    elif damage == "no meta":
        meta.unlink()
    elif damage == "torn meta":
        os.truncate(meta, 10)
    else:
        file.unlink()
    assert np.array_equal(
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).source.read(np.arange(20)), whole
    )


def test_a_build_that_was_killed_leaves_nothing_that_is_used(paths: list[Path], cache: Path) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from foldtune.trainers.images.cache import prepare_images\n"
        "from foldtune.trainers.images.preprocess import ImagePreprocessing\n"
        "paths = [Path(p) for p in sys.argv[2:]]\n"
        "die = lambda done, total: os._exit(9)\n"  # after the first block, as if killed
        "prepare_images(paths, ImagePreprocessing((6, 9)), cache_dir=Path(sys.argv[1]), progress=die)\n"
    )
    command = [sys.executable, "-c", script, str(cache), *map(str, paths)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 9
    assert "part" in stored(cache).parent.name
    prepared = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)
    assert np.array_equal(prepared.source.read(np.array([7]))[0], decode(paths[7], SIZE))
    assert "part" not in stored(cache).parent.name  # the remains are gone


def test_concurrent_processes_build_once(paths: list[Path], cache: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from foldtune.trainers.images.cache import prepare_images\n"
        "from foldtune.trainers.images.preprocess import ImagePreprocessing\n"
        "built = []\n"
        "paths = [Path(p) for p in sys.argv[2:]]\n"
        "progress = lambda done, total: built.append(done)\n"
        "prepare_images(paths, ImagePreprocessing((6, 9)), cache_dir=Path(sys.argv[1]), progress=progress)\n"
        "sys.stdout.write(str(len(built)))\n"
    )
    command = [sys.executable, "-c", script, str(cache), *map(str, paths)]
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(process.communicate()[0] for process in processes) == ["0", "0", "1"]


def test_an_error_on_the_way_leaves_no_file(paths: list[Path], cache: Path) -> None:
    def give_up(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, progress=give_up)
    assert list(cache.rglob("*.npy")) == []


@pytest.mark.parametrize("cached", [True, False])
def test_broken_images_are_all_listed(paths: list[Path], cache: Path, cached: bool) -> None:
    for path in paths[:12]:
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache if cached else None)
    text = str(caught.value)
    assert text.startswith("12 of 20 images cannot be decoded")
    assert "data.on_broken: skip" in text
    assert "and 2 more" in text
    assert str(paths[9]) in text
    assert not list(cache.rglob("*.npy"))


@pytest.mark.parametrize("cached", [True, False])
def test_broken_images_are_left_out_where_allowed(paths: list[Path], cache: Path, cached: bool) -> None:
    paths[2].write_bytes(b"")
    paths[5].unlink()
    for _ in range(2):  # built, then found
        prepared = prepare_images(
            paths, ImagePreprocessing(SIZE), cache_dir=cache if cached else None, on_broken="skip"
        )
        assert [(error.path, error.reason) for error in prepared.broken] == [
            (paths[2], "empty file"),
            (paths[5], "no such file"),
        ]
        assert np.flatnonzero(~prepared.keep).tolist() == [2, 5]
        assert len(prepared.source) == 18
        assert prepared.source.shape == (18, 6, 9, 3)
        third = prepared.source.read(np.array([2, 17]))
        assert np.array_equal(third, [decode(paths[3], SIZE), decode(paths[19], SIZE)])


def test_a_cache_built_with_skip_is_refused_without_it(paths: list[Path], cache: Path) -> None:
    paths[2].write_bytes(b"")
    prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, on_broken="skip")
    with pytest.raises(DataError, match="1 of 20 images"):
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)


def test_a_repaired_image_is_noticed(paths: list[Path], cache: Path) -> None:
    good = paths[2].read_bytes()
    paths[2].write_bytes(b"")
    prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, on_broken="skip")
    paths[2].write_bytes(good)
    assert prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).keep.all()


def test_all_broken_is_an_error_even_where_broken_ones_may_be_skipped(paths: list[Path], cache: Path) -> None:
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="20 of 20"):
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, on_broken="skip")


def test_a_source_pickles_as_its_path_and_maps_the_file_anew(paths: list[Path], cache: Path) -> None:
    paths[0].write_bytes(b"")
    source = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, on_broken="skip").source
    rows = np.arange(len(source))
    pixels = source.read(rows)
    data = pickle.dumps(source)
    assert len(data) < pixels.nbytes / 2
    assert np.array_equal(pickle.loads(data).read(rows), pixels)


def test_a_cache_that_changed_under_an_open_source_is_refused(paths: list[Path], cache: Path) -> None:
    source = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).source
    np.save(stored(cache), np.zeros((20, 3, 3, 3), dtype=np.uint8))
    with pytest.raises(DataError, match="delete it"):
        source.read(np.array([0]))


def test_a_full_disk_is_reported_before_anything_is_decoded(
    paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 0, 1000))
    calls: list[int] = []
    with pytest.raises(DataError, match=r"needs 0\.00 GB.*has 0\.00 GB free; .*data\.cache: off"):
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache, progress=lambda done, _: calls.append(done))
    assert calls == []


def test_a_cache_folder_that_cannot_be_made_is_named(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/cache cannot be written"):
        prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=tmp_path / "file" / "cache")


def test_wrong_arguments_are_refused(cache: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        prepare_images([], ImagePreprocessing(SIZE), cache_dir=cache)
    with pytest.raises(ValueError, match="on_broken"):
        prepare_images([Path("a.png")], ImagePreprocessing(SIZE), cache_dir=cache, on_broken="ignore")


@pytest.mark.slow
def test_decoding_processes_end_with_a_builder_that_is_killed(paths: list[Path], cache: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from foldtune.trainers.images.cache import prepare_images\n"
        "from foldtune.trainers.images.preprocess import ImagePreprocessing\n"
        "paths = [Path(p) for p in sys.argv[2:]] * 200\n"
        "die = lambda done, total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare_images(paths, ImagePreprocessing((6, 9)), cache_dir=Path(sys.argv[1]), workers=2, progress=die)\n"
    )
    command = [sys.executable, "-c", script, str(cache), *map(str, paths)]
    # The pipe closes, and communicate returns, when the last process that inherited it is gone.
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == -9


def of_before(cache: Path) -> Path:
    """Make the one cache look as an earlier version left it; its folder."""
    meta = stored(cache).with_name("meta.json")
    content = json.loads(meta.read_text())
    meta.write_text(json.dumps({key: content[key] for key in ("shape", "bytes", "broken")}))
    return meta.parent


def deep_file(path: Path) -> None:
    Image.fromarray(np.linspace(0, 4095, 12 * 18).reshape(12, 18).astype(np.uint16)).save(path)


SIXTEEN = ImagePreprocessing(SIZE, limits=PixelLimits("uint16"))


def test_a_cache_of_before_is_used_where_its_images_decode_as_before(paths: list[Path], cache: Path) -> None:
    prepare_images(paths, SIXTEEN, cache_dir=cache)
    folder = of_before(cache)
    calls: list[int] = []
    for _ in range(2):  # looked through, then known
        prepared = prepare_images(
            paths, ImagePreprocessing(SIZE), cache_dir=cache, progress=lambda done, _: calls.append(done)
        )
        assert isinstance(prepared.source, CachedImages)
        assert prepared.source.path.parent == folder
    assert calls == []


def test_a_cache_of_before_with_deep_pixels_is_decoded_again_beside_it(paths: list[Path], cache: Path) -> None:
    deep_file(paths[3])
    before = prepare_images(paths, SIXTEEN, cache_dir=cache).source.read(np.array([3]))
    of_before(cache)
    assert before.max() <= 15
    for _ in range(2):
        prepared = prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache)
        assert prepared.deep == {"12 bits": 1}
        assert prepared.source.read(np.array([3])).max() > 240
        assert np.array_equal(prepare_images(paths, SIXTEEN, cache_dir=cache).source.read(np.array([3])), before)
    assert len(list(cache.rglob("*.npy"))) == 2


def test_images_that_were_broken_for_an_earlier_version_are_tried_again(paths: list[Path], cache: Path) -> None:
    good = paths[2].read_bytes()
    state = paths[2].stat()
    paths[2].write_bytes(b"x" * len(good))
    os.utime(paths[2], ns=(state.st_atime_ns, state.st_mtime_ns))
    prepare_images(paths, SIXTEEN, cache_dir=cache, on_broken="skip")
    of_before(cache)
    paths[2].write_bytes(good)
    os.utime(paths[2], ns=(state.st_atime_ns, state.st_mtime_ns))
    for _ in range(2):
        assert prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).keep.all()


def test_a_cache_of_before_that_lacks_floats_is_built_again(paths: list[Path], cache: Path) -> None:
    values = np.linspace(0, 1, 12 * 18).reshape(12, 18).astype(np.float32)
    Image.fromarray(values).save(paths[5].with_suffix(".tif"))
    with_float = [*paths[:5], paths[5].with_suffix(".tif")]
    prepare_images(with_float, SIXTEEN, cache_dir=cache, on_broken="skip")
    of_before(cache)
    prepared = prepare_images(with_float, ImagePreprocessing(SIZE), cache_dir=cache)
    assert prepared.keep.all()
    assert prepared.deep == {"0 to 1": 1}


@pytest.mark.parametrize("cached", [True, False])
def test_pictures_of_one_colour_are_listed(paths: list[Path], cache: Path, cached: bool) -> None:
    Image.new("RGB", (40, 30), "teal").save(paths[2])
    deep_file(paths[3])
    Image.new("LA", (9, 9), (7, 0)).save(paths[4])  # transparent: white
    for resize in ("squash", "pad", "crop"):
        for _ in range(2):
            prepared = prepare_images(
                paths, ImagePreprocessing(SIZE, resize), cache_dir=cache if cached else None, workers=1
            )
            assert prepared.one_colour == (paths[2], paths[4])


def test_a_window_has_a_cache_of_its_own(paths: list[Path], cache: Path) -> None:
    deep_file(paths[3])
    for window, name in ((None, "12 bits"), (Window(0, 1000), "window 0 to 1000")):
        limits = PixelLimits(window=window)
        for _ in range(2):
            prepared = prepare_images(paths, ImagePreprocessing(SIZE, limits=limits), cache_dir=cache)
            assert prepared.deep == {name: 1}
    assert len(list(cache.rglob("*.npy"))) == 2


def test_another_limit_of_pixels_has_another_cache(paths: list[Path], cache: Path) -> None:
    tight = ImagePreprocessing(SIZE, limits=PixelLimits(max_megapixels=0.0001))
    with pytest.raises(DataError, match=r"20 of 20 .*(\n.*)*data\.max_megapixels"):
        prepare_images(paths, tight, cache_dir=cache, on_broken="skip")
    assert len(prepare_images(paths, tight, cache_dir=cache, on_broken="report").broken) == 20
    assert prepare_images(paths, ImagePreprocessing(SIZE), cache_dir=cache).keep.all()
