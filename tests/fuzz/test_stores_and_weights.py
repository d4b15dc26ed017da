"""Damaged stores, weights and checkpoints: refused by one clear error, or (checkpoints, by design) logged and not used."""

import json
import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from mutations import damage, snapshot, survey
from torch import nn

from satsynth import weights
from satsynth.pairs import Store, StoreWriter, open_view
from satsynth.runtime import checkpoints, files
from satsynth.runtime.errors import StoreError, WeightsError
from satsynth.segmentation import encoders

PAIRS, SIZE, CLASSES = 6, 8, 4
NAMES = {"images.npy": 120, "masks.npy": 120, "index.csv": 140, "card.json": 260}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The files of a sound store, as bytes by name."""
    folder = tmp_path_factory.mktemp("sound")
    with StoreWriter(folder, size=SIZE, classes=CLASSES, facts={"split": "train", "source": {"weights": ["a"], "seed": 0}}) as writer:
        for number in range(PAIRS):
            mask = np.full((SIZE, SIZE), number % CLASSES, np.uint8)
            writer.append(np.full((SIZE, SIZE, 3), number, np.uint8), mask, scene=f"tile, '{number}'", row=number, column=0)
    return {name: (folder / name).read_bytes() for name in NAMES}


def put(folder, contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def npy(rng: random.Random) -> bytes:
    """A .npy file whose header is whole and lies: about type, order, size or its own length."""
    descr = rng.choice(["'|O'", "'<f8'", "'|u1'", "'|u1'", "[('a', '|u1')]", "'<U9999999'", "'M8'", "None", "'|V0'", "'|u1, |O'", "12"])
    right, huge = ["(6, 8, 8, 3)", "(6, 8, 8)"], [f"({10**12}, 8, 8, 3)", f"({2**63}, 8, 8, 3)", f"({2**62}, 4)"]
    wrong = ["(-6, 8, 8, 3)", "(6.0, 8, 8, 3)", "()", "(None,)", "('6',)", "((((6,),),),)", "[6, 8, 8, 3]", "(True, 8, 8, 3)"]
    shape = rng.choice([*right, *huge, *wrong, f"({','.join(['1'] * 99)})", "(" * 300 + ")" * 300])
    order = rng.choice(["False", "False", "True", "None", "'no'"])
    extra = rng.choice(["", "", "", "'x': 1, ", "'shape': (1,), ", "'''", "\0", "__import__('os'): 1, ", "lambda: 0, ", "f'", "\\"])
    text = f"{{'descr': {descr}, 'fortran_order': {order}, {extra}'shape': {shape}, }}".encode()
    text += b" " * rng.choice([0, 0, 100, 20_000]) + b"\n"
    version = rng.choice([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)])
    claimed = rng.choice([len(text)] * 4 + [0, 1, 65535, 2**32 - 1])
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + min(claimed, 256**width - 1).to_bytes(width, "little") + text + bytes(1152)


def card(rng: random.Random, sound: bytes) -> bytes:
    """A card with one value of a wrong kind, or JSON that is none."""
    value = json.loads(sound)
    wild = rng.choice([None, True, -1, 0, 1.5, 8.0, 1e308, 10**30, "6", "", [], {}, [1], {"a": 1}, "nan", "../../etc/passwd", "\0", "é"])
    how = rng.randrange(8)
    if how == 0:
        return json.dumps(rng.choice([[], [value], "text", 3, None, True])).encode()
    if how == 1:
        depth = rng.choice([10, 1000, 200_000])
        return b"[" * depth + b"]" * depth if rng.random() < 0.5 else b'{"a":' * depth + b"1" + b"}" * depth
    if how == 2:
        return sound.replace(b'"count": 6', rng.choice([b'"count": NaN', b'"count": Infinity', b'"count": -6', b'"count": ' + b"9" * 5000]))
    if how == 3:
        value["sha256"][rng.choice(["images.npy", "../x", "masks.npy", "index.csv"])] = wild
    elif how == 4:
        del value[rng.choice(sorted(value))]
    else:
        value[rng.choice(["count", "size", "classes", "format", "sha256", "source", "split"])] = wild
    return json.dumps(value).encode()


def index(rng: random.Random, sound: bytes) -> bytes:
    """An index with other columns, other rows, or cells that are none."""
    lines = sound.decode().splitlines()
    how = rng.randrange(7)
    if how == 0:
        lines[0] = rng.choice(["", "a", "pair", "pair,pair,pair,pair", "scene,pair,row,column", ",,,", "\ufeffpair,scene,row,column"])
    elif how == 1:
        lines.insert(
            rng.randrange(len(lines) + 1),
            rng.choice(["", '"', "1,2,3,4,5,6,7", "x,y,z,w", "9" * 400 + ",a,0,0", "\0\0", "nan,nan,nan,nan"]),
        )
    elif how == 2:
        del lines[rng.randrange(len(lines))]
    elif how == 3:
        rng.shuffle(lines)
    elif how == 4:
        lines = [";".join(line.split(",")) for line in lines]
    elif how == 5:
        return "\n".join(lines).encode(rng.choice(["utf-16", "utf-32", "cp500"]))
    else:
        number = rng.randrange(1, len(lines))
        lines[number] = rng.choice(["1e999", "-1", "0x10", "1_0", "NaN", "", "'0'"]) + "," + lines[number].split(",", 1)[1]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("name", NAMES)
def test_damaged_store_files(tmp_path, sound, name):
    """With hashes checked, a store is the one that was written or is refused. Of the card, what no reader needs may differ."""

    def case(rng: random.Random, number: int) -> None:
        made = {"images.npy": npy, "masks.npy": npy}.get(name)
        forged = made(rng) if made else card(rng, sound[name]) if name == "card.json" else index(rng, sound[name])
        content = forged if number % 2 else damage(sound[name], rng, head=128)
        folder = put(tmp_path / "store", {**sound, name: content})
        store = Store.open(folder, verify=True)
        if name != "card.json":
            assert content == sound[name], "another content passed for the one that the card describes"
        check(store)

    survey(name, NAMES[name], case, lambda number: str(tmp_path / "store"))


def check(store):
    """The store holds what was written."""
    assert (len(store), store.size, store.classes) == (PAIRS, SIZE, CLASSES) or store.card["classes"] != CLASSES
    images, masks = open_view([store.folder]).gather(range(PAIRS))
    assert images[:, 0, 0, 0].tolist() == list(range(PAIRS)) and masks.shape == (PAIRS, SIZE, SIZE)
    assert store.index["pair"].tolist() == list(range(PAIRS))


UNVERIFIED = {"a store without its hashes": 200}


@pytest.mark.parametrize("kind", UNVERIFIED)
def test_damaged_stores_without_a_look_at_the_hashes(tmp_path, sound, kind):
    """As trainings open them, and joined with a sound one: refused, or of the card's shape. Other pixels are known by hashes only."""
    put(tmp_path / "other", sound)

    def case(rng: random.Random, number: int) -> None:
        contents = dict(sound)
        for name in rng.sample(sorted(NAMES), rng.choice([1, 1, 2])):
            forged = npy(rng) if name.endswith("npy") else card(rng, sound[name]) if name == "card.json" else index(rng, sound[name])
            contents[name] = forged if rng.random() < 0.5 else damage(sound[name], rng, head=128)
        view = open_view([tmp_path / "other", put(tmp_path / "store", contents)])
        images, masks = view.gather(range(len(view)))
        assert images.shape == (2 * PAIRS, SIZE, SIZE, 3) and masks.shape == (2 * PAIRS, SIZE, SIZE)
        assert images.dtype == masks.dtype == np.uint8
        assert view.stores[1].index["pair"].tolist() == list(range(PAIRS))

    survey(kind, UNVERIFIED[kind], case, lambda number: str(tmp_path / "store"))


# Weights ----------------------------------------------------------------------------------------------------------------------

WEIGHTS = {"weights.safetensors": 200, "checkpoint.safetensors": 200, "encoder.safetensors": 100, "encoder.pth": 140}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def header(rng: random.Random, sound: bytes) -> bytes:
    """A safetensors file whose header is JSON and lies: about sizes, types, offsets or its own length."""
    length = int.from_bytes(sound[:8], "little")
    facts = json.loads(sound[8 : 8 + length])
    name = rng.choice([key for key in sorted(facts) if key != "__metadata__"])
    how = rng.randrange(8)
    if how == 0:
        facts[name]["shape"] = rng.choice([[10**12], [2**63, 2], [-1], [], ["4"], None, [4, 3, 3], [1.5], [0], 7])
    elif how == 1:
        facts[name]["dtype"] = rng.choice(["F64", "I64", "BF16", "U8", "F8_E4M3", "O", "", None, 3, "BOOL", "C64"])
    elif how == 2:
        facts[name]["data_offsets"] = rng.choice([[0, 10**15], [-1, 4], [4, 0], [0], None, [0, 2**64], "x", [0, 0]])
    elif how == 3:
        facts[rng.choice(["x", "", "../x", "é", "a" * 9999])] = facts.pop(name)
    elif how == 4:
        facts[name] = rng.choice([None, [], {}, 3, {"dtype": "F32"}])
    elif how == 5:
        facts["__metadata__"] = rng.choice([None, [], {"a": 1}, {"facts": "{"}, {"facts": "[]"}, {"a": None}, {"crc32": "0"}])
    elif how == 6:
        claimed = rng.choice([0, 1, 2**40, 2**63, 2**64 - 1, 10**8 + 1, len(sound)])
        return claimed.to_bytes(8, "little") + sound[8:]
    else:
        text = rng.choice([b"[]", b"{}", b"null", b'{"a":' * 5000 + b"1" + b"}" * 5000, b"\xff\xfe", b"{" * 100])
        return len(text).to_bytes(8, "little") + text + sound[8 + length :]
    text = json.dumps(facts).encode()
    return len(text).to_bytes(8, "little") + text + sound[8 + length :]


def test_damaged_weights(tmp_path):
    """By their card's hash any change is known. Without it, a changed number inside a tensor is not: the file says nothing about it."""
    kind, path = "weights.safetensors", tmp_path / "weights.safetensors"
    known = {"weights_sha256": weights.write(path, network().state_dict())}
    sound = path.read_bytes()
    wanted = {name: (value.shape, value.dtype) for name, value in network().state_dict().items()}

    def case(rng: random.Random, number: int) -> None:
        content = header(rng, sound) if number % 2 else damage(sound, rng, head=700)
        path.write_bytes(content)
        if number % 4 < 2:
            weights.check(path, known)
            assert content == sound
        loaded = weights.load_into(network(), path)
        assert {name: (value.shape, value.dtype) for name, value in loaded.state_dict().items()} == wanted and not loaded.training

    survey(kind, WEIGHTS[kind], case, lambda number: str(path))


def test_damaged_checkpoints_are_logged_and_not_used(tmp_path, caplog):
    """A checkpoint is whole, bit for bit, or the training starts anew and says so; a damaged one is no error, by design."""
    kind, facts = "checkpoint.safetensors", {"step": 7, "rows": [[1, 2, None]], "counts": [3]}
    tensors = {**network().state_dict(), "sums": torch.zeros(2), "optimizer/0/step": torch.tensor(7.0), "empty": torch.zeros(0, 3)}
    tensors["half"] = torch.ones(3, dtype=torch.bfloat16)
    checkpoints.save(tmp_path, tensors, facts)
    path = tmp_path / checkpoints.NAME
    sound = path.read_bytes()

    def same(found) -> bool:
        alike = found[0].keys() == tensors.keys() and all(torch.equal(found[0][name], tensors[name]) for name in tensors)
        return alike and found[1] == facts

    assert same(checkpoints.load(tmp_path))
    refused = []

    def case(rng: random.Random, number: int) -> None:
        content = header(rng, sound) if number % 2 else damage(sound, rng, head=1200)
        path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = checkpoints.load(tmp_path)
        refused.append(found is None)
        if found is None:
            assert str(path) in caplog.text and "is damaged" in caplog.text and "is not used" in caplog.text
        else:
            assert same(found), "a damaged checkpoint was used"

    survey(kind, WEIGHTS[kind], case, lambda number: str(path))
    assert sum(refused) > 0.9 * len(refused)


@pytest.mark.parametrize("kind", ["encoder.safetensors", "encoder.pth"])
def test_damaged_encoder_weights(tmp_path, kind):
    """A user's own file; .pth files are read with weights_only, so that what a pickle asks to be called is never called."""
    path, encoder = tmp_path / kind, network()
    if path.suffix == ".pth":
        torch.save(encoder.state_dict(), path)
    else:
        safetensors.torch.save_file(encoder.state_dict(), path)
    sound, before = path.read_bytes(), snapshot(tmp_path)

    def case(rng: random.Random, number: int) -> None:
        lies = path.suffix == ".safetensors" and number % 2
        path.write_bytes(header(rng, sound) if lies else damage(sound, rng, head=700))
        holder = nn.Module()
        holder.encoder = network()
        encoders.initialise(holder, "resnet18", str(path))

    survey(kind, WEIGHTS[kind], case, lambda number: str(path))
    assert snapshot(tmp_path).keys() == before.keys()


class Call:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_a_pickle_asks_for_is_never_called(tmp_path):
    """In encoder weights, in the arrays of a store, and in an array that is a pickle as a whole."""
    torch.save({"a": Call(tmp_path / "pwned")}, tmp_path / "encoder.pth")
    holder = nn.Module()
    holder.encoder = network()
    with pytest.raises(WeightsError, match=r"encoder\.pth"):
        encoders.initialise(holder, "resnet18", str(tmp_path / "encoder.pth"))
    array = np.empty(1, object)
    array[0] = Call(tmp_path / "pwned")
    np.save(tmp_path / "objects.npy", array, allow_pickle=True)
    pickled = (tmp_path / "objects.npy").read_bytes()
    folder = tmp_path / "store"
    with StoreWriter(folder, size=SIZE, classes=CLASSES) as writer:
        writer.append(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8), scene="a")
    np.savez(tmp_path / "archive.npz", images=np.zeros((1, SIZE, SIZE, 3), np.uint8), more=array)
    archive = (tmp_path / "archive.npz").read_bytes()  # as a file of arrays, it would be unpacked member by member
    for content in (pickled, pickled[128:], archive, archive[:-9]):
        (folder / "images.npy").write_bytes(content)
        with pytest.raises(StoreError, match=r"images\.npy"):
            Store.open(folder)
    assert not (tmp_path / "pwned").exists()
    np.load(tmp_path / "objects.npy", allow_pickle=True)  # the trap is a real one
    assert (tmp_path / "pwned").exists()


def test_claimed_sizes_take_no_memory(tmp_path, sound):
    """In a process that may have half a gigabyte more than it starts with, files of a few hundred bytes that claim terabytes."""
    folder = put(tmp_path / "store", sound)
    huge = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8, 3), }\n"
    (folder / "images.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(huge).to_bytes(2, "little") + huge)
    facts = json.loads(sound["card.json"])
    facts["count"] = 10**12
    files.write_json(folder / "card.json", facts)
    text = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    (tmp_path / checkpoints.NAME).write_bytes((2**40).to_bytes(8, "little") + text)
    lines = f"""
import resource, torch
from satsynth import weights
from satsynth.pairs import Store
from satsynth.runtime import checkpoints
from satsynth.runtime.errors import StoreError, WeightsError
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29),) * 2)
for error, call in (
    (StoreError, lambda: Store.open({str(folder)!r})),
    (WeightsError, lambda: weights.load_into(torch.nn.Linear(1, 1), {str(tmp_path / "w.safetensors")!r})),
):
    try:
        call()
    except error as refused:
        print("refused", refused)
from pathlib import Path
print("refused" if checkpoints.load(Path({str(tmp_path)!r})) is None else "taken")
"""
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.count("refused") == 3 and "MemoryError" not in done.stdout, done.stdout + done.stderr
