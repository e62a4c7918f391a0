"""Cases of folders and files of images: `search check` reads them, or says what they are and what to do."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from search.data.images import read_images
from tests.cases.place import Answer, Case, Place, WrongError, picture, shown

CLASSES = {"fern": 6, "moss": 6}


def splits(place: Place) -> str:
    """Splits under the names of well-known data sets: never classes."""
    layouts = {
        "doubled": ("seg_train/seg_train", "seg_test/seg_test"),
        "sets": ("training_set", "test_set"),
        "suffix": ("train_data", "val_data"),
        "short": ("dev", "eval"),
    }
    happened = []
    for top, parts in layouts.items():
        for number, part in enumerate(parts):
            place.fill(f"{top}/{part}", CLASSES, first=50 * number)
        found, answer = place.classes(top)
        if not found:
            answer.says("split|train|test|eval")
        elif found != {*CLASSES}:
            raise WrongError(f"{top}: the classes are {', '.join(sorted(found))}")
        happened.append(f"{top}: {'read' if found else 'refused'}")
    return ", ".join(happened)


def wrapped(place: Place) -> str:
    """The class folders are one or two levels further down."""
    place.fill("wrap/photos", CLASSES)
    place.fill("deep/data/train", CLASSES)
    place.fill("deep/data/test", CLASSES, first=50)
    return "; ".join(_classes_or(place, *names) for names in (("wrap", "wrap/photos"), ("deep", "deep/data")))


def other_formats(place: Place) -> str:
    """Portable grey and pixel maps."""
    for label, name in enumerate(CLASSES):
        for kind, mode in (("pgm", "L"), ("ppm", "RGB")):
            (place.root / kind / name).mkdir(parents=True)
            for number in range(6):
                picture(label, number).convert(mode).save(place.root / kind / name / f"{number}.{kind}")
    return "; ".join(_classes_or(place, kind, rf"\.{kind}") for kind in ("pgm", "ppm"))


def links(place: Place) -> str:
    """A snapshot of links to a cache, and class folders that are links."""
    place.fill("cache", CLASSES)
    for name in CLASSES:
        (place.root / "snapshot" / name).mkdir(parents=True)
        for file in (place.root / "cache" / name).iterdir():
            (place.root / "snapshot" / name / file.name).symlink_to(f"../../cache/{name}/{file.name}")
        (place.root / "picked").mkdir(exist_ok=True)
        (place.root / "picked" / name).symlink_to(f"../cache/{name}")
    return "; ".join(_classes_or(place, top, r"link.*(cp -rL|copy|follow)") for top in ("snapshot", "picked"))


def twelve_bits(place: Place) -> str:
    """12 bits in files of 16: one scale for the set, or a sentence."""
    for label, name in enumerate(CLASSES):
        (place.root / "cells" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng([label, number]).integers(300, 900, (16, 16))
            pixels[label * 8 :, :8] += 3000
            Image.fromarray(pixels.astype(np.uint16)).save(place.root / "cells" / name / f"{number}.png")
    found, answer = place.classes("cells")
    answer.lacks("same picture|nearly the same")
    largest = int(read_images(place.root / "cells").pixels.max())
    if found == {*CLASSES} and largest > 128:
        return f"read, the largest value is {largest}"
    return answer.says("nearly black|1[024][ -]bits?")


def unreadable(place: Place) -> str:
    """All pictures are of a phone's format, under their ending and under another."""
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for top, end in (("phone", "HEIC"), ("renamed", "jpg")):
        for name in CLASSES:
            (place.root / top / name).mkdir(parents=True)
            for number in range(4):
                (place.root / top / name / f"IMG_{number}.{end}").write_bytes(content + bytes([number]) * 100)
    phone = place.search("check", "phone").says("heic.*(convert|install|pip|damaged|decoded)")
    return f"{phone}; {place.search('check', 'renamed').says('hei[cf]')}"


def labels_in_a_table(place: Place) -> str:
    """A table of labels beside the pictures, and names of a ZIP made on Windows."""
    rows = ["file,label"]
    (place.root / "table" / "files").mkdir(parents=True)
    (place.root / "windows").mkdir()
    for label, name in enumerate(CLASSES):
        for number in range(6):
            picture(label, number).save(place.root / "table" / "files" / f"{label}{number}.png")
            picture(label, number).save(place.root / "windows" / f"{name}\\{number}.png")
            rows.append(f"{label}{number}.png,{name}")
    place.write("table/train.csv", "\n".join(rows))
    table = place.search("check", "table").says(r"train\.csv.*--labels")
    place.search("check", "table", "--labels", "table/train.csv").ends(0)
    return f"{table}; {place.search('check', 'windows').says('backslash|Windows')}"


def versions(place: Place) -> str:
    """Augmented versions of each picture, as services and Keras name them."""
    for label, name in enumerate(CLASSES):
        for top in ("service", "keras"):
            (place.root / top / name).mkdir(parents=True)
        for number in range(8):
            for version in range(3):
                drawn = picture(label, number).rotate((0, 14, -12)[version])
                token = f"{label:02x}{number:02x}{version:028x}"
                drawn.save(place.root / "service" / name / f"IMG_{number:04}_jpg.rf.{token}.jpg")
                drawn.save(place.root / "keras" / name / f"leaf_{number}_{1000 + 97 * version + number}.png")
    service = place.search("check", "service")
    service.says("group|versions?|kept together|same source")
    place.search("check", "keras").ends(0)
    return service.says("group|versions?|kept together|same source")


def masks(place: Place) -> str:
    """Masks beside their pictures."""
    for label, name in enumerate(CLASSES):
        (place.root / "scans" / name).mkdir(parents=True)
        for number in range(6):
            picture(label, number).save(place.root / "scans" / name / f"{name} ({number}).png")
            mask = np.zeros((16, 16), np.uint8)
            mask[number : 8 + number, label * 3 : 9] = 255
            Image.fromarray(mask).save(place.root / "scans" / name / f"{name} ({number})_mask.png")
    return place.search("check", "scans").says(r"\bmasks?\b")


def tables_of_groups(place: Place) -> str:
    """Tables of groups as other programs write them."""
    place.fill("pictures", CLASSES)
    pairs = [(f"{name}/{number:03}.png", f"g{number // 2}") for name in CLASSES for number in range(6)]
    place.write("t.tsv", "path\tgroup\n" + "".join(f"{path}\t{group}\n" for path, group in pairs))
    (place.root / "t.xlsx").write_bytes(b"PK\3\4")
    place.write("semicolons.csv", "path;group\n" + "".join(f"{path};{group}\n" for path, group in pairs))
    place.write("spaces.csv", "Path, Group\n" + "".join(f"{path}, {group}\n" for path, group in pairs))

    def check(groups: str) -> Answer:
        return place.search("check", "pictures", "--groups", groups)

    for groups in ("semicolons.csv", "spaces.csv"):
        check(groups).ends(0)
    if check("t.tsv").code != 0:
        check("t.tsv").says("csv")
        check("t.tsv").lacks("parenthes")
    check("t.xlsx").lacks("parenthes")
    return f"both .csv files are read; {check('t.xlsx').says('csv')}"


def _classes_or(place: Place, images: str, pattern: str) -> str:
    """That the classes are read, else the sentence that has the pattern."""
    found, answer = place.classes(images)
    if found == {*CLASSES}:
        return f"{images}: read"
    if found:
        raise WrongError(f"{images}: the classes are {json.dumps(sorted(found))}")
    return f"{images}: {shown(answer.says(pattern), 90)}"


CASES = (
    Case("01", "splits named seg_train, training_set, train_data, dev", "read as splits, or refused by name", splits),
    Case("07", "16-bit files with 12-bit grey", "one scale for all, or a sentence; no black pictures", twelve_bits),
    Case("08", "class folders one or two levels further down", "read, or the inner folder is named", wrapped),
    Case("09", "PGM and PPM files", "read, or the format is named", other_formats),
    Case("10", "links to files, and class folders that are links", "followed, or the step is named", links),
    Case("18", "labels in a table; names with backslashes", "the table is named; Windows is named", labels_in_a_table),
    Case("21", "augmented versions in files of their own", "kept together, or --groups is named", versions),
    Case("24", "masks beside pictures", "a line says that they are masks", masks),
    Case("26", "groups in .tsv, .xlsx, with semicolons, capitals", "read, or said to save as CSV", tables_of_groups),
    Case("27", "a folder of HEIC only, also renamed to .jpg", "the format and the step are named", unreadable),
)
