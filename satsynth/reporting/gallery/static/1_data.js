// Files beside this page are scripts that call `satsynth(place, kind, number, value)`: a page of a disk may read no file by itself.

const KEPT = { numbers: 4, tiles: 60, pairs: 8, real: 8 }; // files of each kind in memory: those that were wanted last
const waiting = new Map();
const parts = { numbers: new Map(), tiles: new Map(), pairs: new Map(), real: new Map() };

globalThis.satsynth = (place, kind, number, value) => {
  const taken = waiting.get(`${place}/${kind}/${number}`);
  if (taken) taken(value);
};

/** The content of a file, as a promise. */
function part(place, kind, number) {
  const name = `${place}/${kind}/${number}`;
  const known = parts[kind];
  let found = known.get(name);
  if (found) {
    known.delete(name);
  } else {
    found = read(place, kind, number, name);
    found.catch(() => known.delete(name));
  }
  known.set(name, found);
  // One that is still being read stays: to ask for it twice would leave the first who asked without an answer.
  const oldest = [...known.keys()].find((other) => !waiting.has(other));
  if (known.size > KEPT[kind] && oldest !== undefined) known.delete(oldest);
  return found;
}

function read(place, kind, number, name) {
  const file = kind === "numbers" ? "numbers.js" : `${kind}-${String(number).padStart(3, "0")}.js`;
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const end = () => {
      waiting.delete(name);
      script.remove();
    };
    waiting.set(name, resolve);
    script.addEventListener("load", end);
    script.addEventListener("error", () => {
      end();
      reject(new Error(`gallery/${place}/${file} cannot be read. Keep the folder gallery beside this page.`));
    });
    script.src = `gallery/${place}/${file}`;
    document.head.append(script);
  });
}

/** The last of `starts` that is not above `row`: the file that holds it. */
function partOf(starts, row) {
  let low = 0;
  let high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= row) low = middle;
    else high = middle;
  }
  return low;
}

/** {image, mask} of row `row` among the pictures of a kind, as addresses that hold the pictures themselves. */
async function pictures(numbers, kind, row) {
  const starts = kind === "real" ? numbers.realStarts : numbers.starts;
  const number = partOf(starts, row);
  const held = await part(numbers.place, kind, number);
  const place = row - starts[number];
  return { image: `data:image/webp;base64,${held.images[place]}`, mask: `data:image/png;base64,${held.masks[place]}` };
}

/** The numbers of a place, with what is derived from them. */
async function numbersOf(place) {
  const numbers = await part(place, "numbers", 0);
  numbers.place = place;
  numbers.unit = numbers.thresholds && numbers.thresholds.feature > 0 ? numbers.thresholds.feature : null;
  return numbers;
}
