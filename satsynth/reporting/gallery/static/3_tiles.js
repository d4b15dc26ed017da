// The tiles: only those in view, and a few around them, are part of the page.

const LEAST = 112; // pixels that a tile is wide at least
const GAP = 10;
const CAPTION = 24;
const AROUND = 3; // rows above and below the view

const grid = document.getElementById("tiles");

const tiles = {
  numbers: null,
  order: [],
  chosen: CHOICES,
  active: 0, // place in `order` of the tile that Tab leads to
  shown: new Map(),
  columns: 1,
  side: LEAST,
  opened: () => {},

  /** Show these rows. */
  show(numbers, order, chosen) {
    Object.assign(this, { numbers, order, chosen, active: 0 });
    grid.dataset.show = chosen.show;
    grid.classList.toggle("pixels", numbers.size < 128);
    this.clear();
    this.lay();
  },

  clear() {
    for (const item of this.shown.values()) item.remove();
    this.shown.clear();
  },

  get height() {
    return this.side + CAPTION + GAP;
  },

  /** Measure the page, and draw what is in view. */
  lay() {
    const width = grid.clientWidth;
    const columns = Math.max(1, Math.floor((width + GAP) / (LEAST + GAP)));
    const side = Math.floor((width - GAP * (columns - 1)) / columns);
    const focused = grid.contains(document.activeElement);
    if (columns !== this.columns || side !== this.side) this.clear();
    Object.assign(this, { columns, side });
    grid.style.height = `${Math.ceil(this.order.length / columns) * this.height}px`;
    this.draw();
    if (focused) this.shown.get(this.active)?.firstChild.focus({ preventScroll: true });
  },

  draw() {
    const top = -grid.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.height) - AROUND) * this.columns;
    const last = Math.min(this.order.length, (Math.ceil((top + window.innerHeight) / this.height) + AROUND) * this.columns);
    for (const [place, item] of this.shown) {
      if ((place < first || place >= last) && place !== this.active) {
        item.remove();
        this.shown.delete(place);
      }
    }
    const places = this.order.length ? [this.active] : [];
    for (let place = first; place < last; place += 1) places.push(place);
    for (const place of places) if (!this.shown.has(place)) this.add(place);
  },

  add(place) {
    const row = this.order[place];
    const item = document.createElement("li");
    item.setAttribute("aria-setsize", String(this.order.length));
    item.setAttribute("aria-posinset", String(place + 1));
    item.style.width = `${this.side}px`;
    item.style.left = `${(place % this.columns) * (this.side + GAP)}px`;
    item.style.top = `${Math.floor(place / this.columns) * this.height}px`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tile";
    button.tabIndex = place === this.active ? 0 : -1;
    button.setAttribute("aria-label", described(this.numbers, row));
    const picture = document.createElement("span");
    picture.className = "picture";
    for (const kind of ["image", "mask"]) {
      const drawn = document.createElement("img");
      drawn.className = kind;
      drawn.alt = "";
      drawn.decoding = "async";
      picture.append(drawn);
    }
    button.append(picture, this.caption(row));
    button.addEventListener("click", () => this.opened(place));
    item.append(button);
    this.shown.set(place, item);
    // In the order of the list, whatever was drawn first: that is the order in which a screen reader goes.
    const later = [...this.shown.keys()].filter((other) => other > place);
    grid.insertBefore(item, later.length ? this.shown.get(Math.min(...later)) : null);
    this.fill(picture, row);
  },

  caption(row) {
    const { columns } = this.numbers;
    const line = document.createElement("span");
    const decision = columns.decision ? DECISIONS[columns.decision[row]] : "";
    const key = keyOf(this.numbers, this.chosen)(row);
    const told = {
      share: () => percent(key), invalid: () => percent(key), margin: () => said(key), masked: () => percent(key ?? 0),
      distance: () => `${distance(this.numbers, row).toFixed(2)}${this.numbers.unit ? " ×" : ""}`,
    }[this.chosen.sort];
    line.textContent = [`${columns.index[row]}`, ...(told && key !== null ? [told()] : []), ...(decision ? [decision] : [])].join(" · ");
    if (decision) line.classList.add(decision);
    return line;
  },

  async fill(picture, row) {
    const { numbers } = this;
    try {
      const found = await pictures(numbers, "tiles", row);
      if (!picture.isConnected) return;
      picture.children[0].src = found.image;
      picture.children[1].src = found.mask;
    } catch (error) {
      failed(error);
    }
  },

  /** Make the tile at this place the one that has the focus. */
  focus(place) {
    const before = this.shown.get(this.active);
    if (before) before.firstChild.tabIndex = -1;
    this.active = Math.max(0, Math.min(this.order.length - 1, place));
    const top = grid.getBoundingClientRect().top + window.scrollY + Math.floor(this.active / this.columns) * this.height;
    const bar = document.getElementById("bar").offsetHeight;
    if (top < window.scrollY + bar) window.scrollTo(0, top - bar - GAP);
    else if (top + this.height > window.scrollY + window.innerHeight) window.scrollTo(0, top + this.height - window.innerHeight);
    this.draw();
    const button = this.shown.get(this.active)?.firstChild;
    if (!button) return;
    button.tabIndex = 0;
    button.focus({ preventScroll: true });
  },
};

grid.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(window.innerHeight / tiles.height) - 1) * tiles.columns;
  const steps = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: tiles.columns, ArrowUp: -tiles.columns, PageDown: page, PageUp: -page,
    Home: -tiles.order.length, End: tiles.order.length,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  tiles.focus(tiles.active + steps[event.key]);
});
grid.addEventListener("focusin", (event) => {
  for (const [place, item] of tiles.shown) {
    if (!item.contains(event.target) || place === tiles.active) continue;
    const before = tiles.shown.get(tiles.active);
    if (before) before.firstChild.tabIndex = -1;
    tiles.active = place;
    item.firstChild.tabIndex = 0;
  }
});
window.addEventListener("scroll", () => requestAnimationFrame(() => tiles.draw()), { passive: true });
new ResizeObserver(() => tiles.numbers && tiles.lay()).observe(grid);
