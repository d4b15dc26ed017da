"""Plain answers to what reviewers ask first: is it memorised, is it significant, what made this number."""

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from satsynth.metrics.memorisation import Calibration, chance
from satsynth.reporting import methods, notes, splits
from satsynth.reporting.lineage import Chain, config_digest
from satsynth.reporting.markup import count, listing, number
from satsynth.reporting.verdict import outcome

KINDS = {"feature": "by the evaluator's features", "pixel": "by pixels"}
CHANCE = 0.05  # a share of near copies that arises by chance more rarely than this is said to be too large


def answers(
    cards: Sequence[Mapping],
    fidelity: Sequence[pd.DataFrame],
    gains: Mapping[str, tuple[pd.DataFrame, Sequence[str]]],
    chains: Mapping[str, Chain],
    titles: Mapping[str, str],
    datasets: Sequence[Mapping] = (),
) -> str:
    """The three answers as HTML; a question to which this run has no answer is told so.

    Args:
        cards: of the places of the gallery; see `satsynth.reporting.gallery.packing.pack`.
        fidelity: frames of fidelity tables.
        gains: name of a gain table -> its frame and its notes.
        chains: name of a table -> the jobs behind it.
        titles: name of a table -> its title.
        datasets: what is known of the real pairs; see `satsynth.reporting.facts.collect`.
    """
    parts = (
        ("memorised", "Is it memorised?", memorised(cards, fidelity, datasets)),
        ("significant", "Is it significant?", significant(gains)),
        ("made", "What made this number?", made(chains, titles)),
    )
    blocks = (f'<article id="answer-{key}">\n<h3>{question}</h3>\n{text}\n</article>' for key, question, text in parts)
    return '<div class="answers">\n' + "\n".join(blocks) + "\n</div>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def memorised(cards: Sequence[Mapping], fidelity: Sequence[pd.DataFrame], datasets: Sequence[Mapping] = ()) -> str:
    """The share of near copies of every source that was searched, with its null, what this null is worth, and the way to the nearest."""
    searched = [card for card in cards if card["copies"]]
    mixes = {(entry["name"], entry["size"]): _mix(entry) for entry in datasets if not entry.get("within")}
    told = []
    for card in searched:
        around = " ".join(filter(None, [mixes.get((card["dataset"], str(card["size"]))), _held(card)]))
        link = f'<a href="gallery.html#place={escape(card["name"])}&amp;sort=distance">Its pairs, the nearest first</a>'
        told += [_paragraph(_copies(card)), f"<p>{escape(around)} {link}, each beside its real patch.</p>"]
    known = {(card["dataset"], card["source"], str(card["size"])) for card in searched}
    for frame in fidelity:
        for row in frame[frame["copies_features"].notna()].to_dict("records"):
            if (row["dataset"], row["source"], str(row["size"])) not in known:
                told.append(_paragraph(_measured(row)))
    if not told:
        return _paragraph(
            "This run does not say: no source was searched for near copies; figures of view memorisation and fidelity tables do it."
        )
    eye = [_paragraph("A near copy by features need not be one to the eye: plain ground resembles plain ground.")] if searched else []
    return "\n".join([*told, *eye])


def _mix(entry: Mapping) -> str:
    """How the classes of val differ from those of train, where the cards of both are known."""
    if not {"names", "train_pixels", "val_pixels"} <= set(entry):
        return ""
    return splits.difference(entry["names"], entry["train_pixels"], entry["val_pixels"])


def _held(card: Mapping) -> str:
    """What the nearest pairs hold."""
    nearest = card["nearest"]
    if nearest is None:
        return ""
    shares = [f"{number(100 * nearest[key], digits=1)}\u00a0%" for key in ("share", "shown")]
    return (
        f"Of the labelled pixels of the {count(nearest['pairs'])} nearest pairs in the gallery {shares[0]} are {nearest['class']}, "
        f"of all its pairs {shares[1]}."
    )


def _share(value: float) -> str:
    return f"{number(100 * value, digits=2 if 0 < value < 0.001 else 1)}\u00a0%"


def _copies(card: Mapping) -> str:
    copies = card["copies"]
    said = f"{card['source']} on {card['dataset']}, {card['size']} px: of {count(card['total'])} pairs, "
    parts, least = [], 1.0
    for kind, words in KINDS.items():
        limit = Calibration(**copies[kind])
        parts.append(f"{_share(limit.share)} {words}")
        least = min(least, chance(limit))
    worst = min(1.0, len(KINDS) * least)  # the lesser of two falls below a level up to twice as often as one does
    limit = Calibration(**copies["feature"])
    said += f"{listing(parts)} lie nearer to a real training patch than the {notes.percent(copies['quantile'])} quantile of "
    said += f"{count(limit.null_count)} held-out real patches does; {_share(limit.expected)} is expected where nothing is copied. "
    likely = f"({_probability(worst)} for the two together)"
    if worst >= CHANCE:
        return said + f"If val is drawn like train, that is no more than chance allows {likely}: no sign of copies."
    return said + (
        f"If val is drawn like train, that is more than chance explains {likely}, and a sign of copies. If val shows other places, with "
        "less plain ground for instance, it need be none: pairs that are like train then lie nearer to train than val does, copied or not. "
        "Look at the nearest pairs before you conclude."
    )


def _probability(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {number(value, digits=3 if value < 0.01 else 2)}"


def _measured(row: Mapping) -> str:
    parts = listing([f"{_share(row[f'copies_{name}'])} {words}" for name, words in zip(("features", "pixels"), KINDS.values())])
    return (
        f"{row['source']} on {row['dataset']}, {row['size']} px: {parts} lie nearer to a real training patch than held-out real patches do "
        f"but for few; {_share(row['copies_expected'])} is expected where nothing is copied and val is drawn like train."
    )


def significant(gains: Mapping[str, tuple[pd.DataFrame, Sequence[str]]]) -> str:
    """How many differences of D ∪ D′ to D are decided, and what their number means."""
    told = []
    for name, (frame, said) in gains.items():
        rows = [row for row in frame[frame["arm"] == "union"].to_dict("records") if methods.is_synthetic(row["method"])]
        if not rows:
            continue
        outcomes = [outcome(row, "gain") for row in rows]
        gained, lost = outcomes.count("gain"), outcomes.count("loss")
        rest = len(rows) - gained - lost
        many = f"{count(len(rows))} difference{'' if len(rows) == 1 else 's'}"
        text = (
            f"{many} of mIoU between D ∪ D′ and D: {gained} shown to be a gain, {lost} a loss, {rest} undecided. A difference counts only "
            "if neither its interval over seeds nor that over validation scenes includes zero."
        )
        multiple = [note for note in said if "Bonferroni" in note]
        link = f'<a href="#table-{escape(name)}">The table</a> has every interval.'
        if multiple:
            text += (
                " So far only D ∪ D′ with synthetic pairs is counted. What follows counts every difference of the table: also those of D′ "
                "alone, of augmentations and of the control to D, and those to the control, where it has such rows."
            )
        told.append(f"<p>{escape(' '.join([text, *multiple]))} {link}</p>")
    return "\n".join(told) or _paragraph("This run does not say: nothing was trained on synthetic pairs beside real ones.")


def made(chains: Mapping[str, Chain], titles: Mapping[str, str]) -> str:
    """Where each table's jobs, config, code and data are told, and the command that tells it of any file."""
    entries = []
    for name, chain in chains.items():
        known = f"{count(len(chain.records))} jobs, config {config_digest(chain.records)}" if chain.records else "not known here"
        entries.append(f'<li><a href="#made-{escape(name)}">{escape(titles.get(name, name))}</a>: {escape(known)}</li>')
    listed = f"<ul>{''.join(entries)}</ul>" if entries else ""
    return (
        "<p>Every job left a record of its config, code, inputs, seeds and package versions. Of a file that lies here, "
        "<code>make explain FILE=results/tables/…</code> tells it, back to the raw data; of a run with overlays name them as there, by "
        f'<code>CONFIG="my.yaml"</code>.{" Of the tables:" if entries else ""}</p>{listed}'
    )
