// Which pairs are shown, and in what order: pure functions of the numbers and of what was chosen.

const DECISIONS = ["admitted", "masked", "rejected"];
const CHOICES = {
  class: "", least: "", margin: "", invalid: "", nearer: "", farther: "", copies: "", decision: "", sort: "index", down: "", show: "image",
};

/** Share of the pixels of a pair, 0 to 1, that are of a class; -1 stands for those that are of none. */
function share(numbers, row, place) {
  const pixels = numbers.columns.pixels[row];
  return pixels.at(place) / (numbers.size * numbers.size);
}

/** Feature distance of a pair to its nearest real one: in units of the threshold, or as it is where that is zero. */
function distance(numbers, row) {
  return numbers.columns.distance[row] / (numbers.unit ?? 1);
}

function classOf(numbers, name) {
  return numbers.classes.findIndex((entry) => entry.name === name);
}

/** What a pair is sorted by, as a function of its row; absent values come last. */
function keyOf(numbers, chosen) {
  const { columns } = numbers;
  const place = classOf(numbers, chosen.class);
  if (chosen.sort === "share" && place >= 0) return (row) => share(numbers, row, place);
  if (chosen.sort === "distance" && columns.distance) return (row) => columns.distance[row];
  if (["margin", "invalid", "decision", "masked"].includes(chosen.sort) && columns[chosen.sort]) return (row) => columns[chosen.sort][row];
  return (row) => columns.index[row];
}

/** The tests that a pair must pass, as functions of its row. */
function testsOf(numbers, chosen) {
  const { columns } = numbers;
  const tests = [];
  const place = classOf(numbers, chosen.class);
  const given = (name) => (chosen[name] === "" ? null : Number(chosen[name]));
  if (place >= 0) {
    const least = (given("least") ?? 0) / 100;
    tests.push((row) => columns.pixels[row][place] > 0 && share(numbers, row, place) >= least);
  }
  if (columns.margin && given("margin") !== null) tests.push((row) => columns.margin[row] >= given("margin"));
  if (columns.invalid && given("invalid") !== null) tests.push((row) => columns.invalid[row] * 100 <= given("invalid"));
  if (columns.distance) {
    if (given("farther") !== null) tests.push((row) => distance(numbers, row) >= given("farther"));
    if (given("nearer") !== null) tests.push((row) => distance(numbers, row) <= given("nearer"));
    if (chosen.copies) tests.push((row) => columns.distance[row] < numbers.thresholds.feature);
  }
  const decision = DECISIONS.indexOf(chosen.decision);
  if (columns.decision && decision >= 0) tests.push((row) => columns.decision[row] === decision);
  return tests;
}

/** Rows of the pairs that pass every test, in order; pairs that are equal stand by their index. */
function orderOf(numbers, chosen) {
  const tests = testsOf(numbers, chosen);
  const key = keyOf(numbers, chosen);
  const rows = [];
  const keys = new Float64Array(numbers.count);
  const sign = chosen.down ? -1 : 1;
  for (let row = 0; row < numbers.count; row += 1) {
    if (!tests.every((test) => test(row))) continue;
    rows.push(row);
    const value = key(row);
    keys[row] = value === null || value === undefined ? Infinity : sign * value;
  }
  return rows.sort((one, other) => keys[one] - keys[other] || one - other);
}

/** What a number is shown as: three digits that count, never in powers of ten where that is long. */
function said(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size === 0 || (size >= 0.001 && size < 1e6) ? String(Number(value.toPrecision(3))) : value.toExponential(2);
}

function percent(value) {
  return value > 0 && value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`;
}

function distanceSaid(numbers, row) {
  return numbers.unit ? `${distance(numbers, row).toFixed(2)} × threshold` : said(distance(numbers, row));
}

/** A pair in words, for those who do not see its tile. */
function described(numbers, row) {
  const { columns } = numbers;
  const shares = numbers.classes.map((entry, place) => [entry.name, share(numbers, row, place)]).filter(([, part]) => part > 0);
  const most = shares.sort((one, other) => other[1] - one[1]).slice(0, 3);
  const words = [`Pair ${columns.index[row]}`, ...most.map(([name, part]) => `${name} ${percent(part)}`)];
  if (columns.distance) words.push(`distance ${distanceSaid(numbers, row)}`);
  if (columns.decision) words.push(DECISIONS[columns.decision[row]]);
  return words.join(", ");
}
