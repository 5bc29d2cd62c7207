"use strict";
(() => {
  const list = document.getElementById("list");
  if (!list) return; // Nothing repeats: there is no list to fill.

  const data = JSON.parse(document.getElementById("data").textContent);
  const GROUPS_AT_A_TIME = 30;
  const MEMBERS_AT_FIRST = 10;
  const MEMBERS_AT_A_TIME = 100;
  const LONG_TEXT = 420;
  const LONG_STRETCH = 150;
  const CELLS_AT_MOST = 1_000_000;
  const GROUPS_IN_PRINT = 300;

  const groups = data.groups.map(([lowest, kept, members, leftOut], index) => ({
    index,
    lowest,
    kept: { row: kept[0], id: kept[1], ...readText(kept[2]) },
    members: members.map(([row, id, similarity, reason, text]) => ({
      row, id, similarity, reason, ...readText(text === null ? kept[2] : text),
    })),
    leftOut,
    size: members.length + leftOut + (data.against ? 0 : 1),
  }));
  for (const group of groups) {
    const rows = data.against ? [] : [group.kept.row];
    group.firstRow = group.members.reduce((least, m) => Math.min(least, m.row), rows[0] ?? Infinity);
  }

  function readText(written) {
    return Array.isArray(written)
      ? { text: written[0], length: written[1] }
      : { text: written, length: written.length };
  }

  // --- making elements: texts go in as text, never as markup -------------------------------

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

  function similarityText(value) {
    if (value === null) return "–";
    const shown = value.toFixed(3);
    return shown === "1.000" && value < 0.99999 ? "0.999" : shown;
  }

  // --- what cannot be seen is shown --------------------------------------------------------

  const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
  const UNSEEN_ALL = /\r\n|[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  const JOINERS = "\u200c\u200d";

  const CONTROLS = ("NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 " +
    "NAK SYN ETB CAN EM SUB ESC FS GS RS US").split(" ");

  function nameOfUnseen(character) {
    const code = character.codePointAt(0);
    if (code < 0x20) return CONTROLS[code];
    if (code === 0x7f) return "DEL";
    return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  }

  function appendVisible(parent, text) {
    if (!UNSEEN.test(text)) {
      parent.append(text);
      return;
    }
    let last = 0;
    for (const match of text.matchAll(UNSEEN_ALL)) {
      const character = match[0];
      const before = match.index ? text[match.index - 1] : "";
      // Joiners shape emoji and many scripts; after ASCII they only hide.
      const isMeant = JOINERS.includes(character) && before > "\u007f";
      if (character === "\n" || character === "\t" || character === "\r\n" || isMeant) continue;
      parent.append(text.slice(last, match.index));
      const chip = make("span", "unseen", nameOfUnseen(character));
      chip.title = "a character that is not shown otherwise";
      parent.append(chip);
      last = match.index + character.length;
    }
    parent.append(text.slice(last));
  }

  // --- which words differ ------------------------------------------------------------------

  // Scripts without spaces are compared character by character, emoji sequences as a whole.
  const UNSPACED = "[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}" +
    "\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}]";
  const LETTER = `(?:(?!${UNSPACED})[\\p{L}\\p{M}\\p{N}])`;
  const EMOJI = "\\p{Extended_Pictographic}[\\ufe0f\\p{EMod}]*";
  const TOKEN = new RegExp(
    `${UNSPACED}\\p{M}*|${LETTER}+(?:['\u2019\u200c\u200d]${LETTER}+)*|` +
    `(?!\\p{N})${EMOJI}(?:\\u200d${EMOJI})*|\\s+|.`, "gsu");
  const tokens = (text) => text.match(TOKEN) ?? [];

  /** Runs of [kind, text] that turn `before` into `after`; null where that would take too long. */
  function difference(before, after) {
    if (before === after) return [["same", after]];
    const a = tokens(before);
    const b = tokens(after);
    let start = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    let end = 0;
    while (end < a.length - start && end < b.length - start &&
      a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
    const middleA = a.slice(start, a.length - end);
    const middleB = b.slice(start, b.length - end);
    if (middleA.length * middleB.length > CELLS_AT_MOST) return null;
    return tidied([
      ...b.slice(0, start).map((token) => ["same", token]),
      ...longestCommonSubsequence(middleA, middleB),
      ...b.slice(b.length - end).map((token) => ["same", token]),
    ]);
  }

  function longestCommonSubsequence(a, b) {
    const width = b.length + 1;
    const table = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        table[i * width + j] = a[i] === b[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
      }
    }
    const edits = [];
    let i = 0;
    let j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) {
        edits.push(["same", a[i]]);
        i++;
        j++;
      } else if (j >= b.length || (i < a.length &&
        table[(i + 1) * width + j] >= table[i * width + j + 1])) {
        edits.push(["missing", a[i++]]);
      } else {
        edits.push(["added", b[j++]]);
      }
    }
    return edits;
  }

  /** Joins edits into stretches: first what is missing, then what was added instead. */
  function tidied(edits) {
    const runs = [];
    let missing = "";
    let added = "";
    const flush = () => {
      if (missing) runs.push(["missing", missing]);
      if (added) runs.push(["added", added]);
      missing = added = "";
    };
    edits.forEach(([kind, token], index) => {
      const next = edits[index + 1];
      // A space between two changed words belongs to the change.
      const isGap = kind === "same" && token === " " && (missing || added) && next?.[0] !== "same";
      if (kind === "missing" || (isGap && next)) missing += missing || !isGap ? token : "";
      if (kind === "added" || (isGap && next)) added += added || !isGap ? token : "";
      if (kind === "same" && !(isGap && next)) {
        flush();
        const previous = runs[runs.length - 1];
        if (previous?.[0] === "same") previous[1] += token;
        else runs.push(["same", token]);
      }
    });
    flush();
    return runs;
  }

  // --- a text ------------------------------------------------------------------------------

  const TAGS = { same: null, added: "ins", missing: "del" };

  const SPACES = { " ": "\u2423", "\t": "\u21e5", "\n": "\u23ce", "\r": "\u240d" };

  /** Marks the words; spaces around them stay plain, and where only spaces differ they show. */
  function appendMarked(paragraph, tag, text) {
    const words = text.trim();
    if (!words) {
      const shown = [...text].map((space) => SPACES[space] ?? nameOfUnseen(space)).join("");
      paragraph.append(make(tag, "", shown));
      // A line break that is missing does not break the line, one that was added does.
      if (tag === "ins" && text.includes("\n")) paragraph.append("\n");
      return;
    }
    const start = text.indexOf(words);
    appendVisible(paragraph, text.slice(0, start));
    appendVisible(paragraph.appendChild(make(tag)), words);
    appendVisible(paragraph, text.slice(start + words.length));
  }

  function fillText(paragraph, runs, isShort) {
    paragraph.replaceChildren();
    for (const [kind, text] of runs) {
      if (kind === "missing" && differences.value !== "both") continue;
      const tag = differences.value === "off" ? null : TAGS[kind];
      if (tag) {
        appendMarked(paragraph, tag, text);
        continue;
      }
      if (isShort && kind === "same" && runs.length > 1 && text.length > LONG_STRETCH) {
        // Cut between words, where there are spaces to tell words apart.
        const head = text.slice(0, 60).replace(/(?<=\s)\S+$/u, "");
        const tail = text.slice(-60).replace(/^\S+(?=\s)/u, "");
        appendVisible(paragraph, head.trimEnd());
        const gap = make("span", "gap", "\u22ef");
        gap.title = `${plural(text.length - head.length - tail.length, "character")} alike`;
        paragraph.append(" ", gap, " ");
        appendVisible(paragraph, tail.trimStart());
      } else {
        appendVisible(paragraph, text);
      }
    }
  }

  function textBlock(entry, kept) {
    const block = make("div", "text-block");
    const paragraph = block.appendChild(make("p", "text"));
    paragraph.dir = "auto";
    if (!entry.text) {
      paragraph.append(make("em", "note", "no text"));
      return block;
    }
    const marked = kept && differences.value !== "off" ? difference(kept.text, entry.text) : null;
    const runs = marked ?? [["same", entry.text]];
    const notes = [];
    if (entry.length > entry.text.length) {
      notes.push(`the first ${entry.text.length.toLocaleString("en")} of ` +
        `${plural(entry.length, "character")}`);
    }
    if (kept && !marked && differences.value !== "off") notes.push("too long to mark differences");
    if (kept && entry.text === kept.text) {
      notes.push("the same text");
      paragraph.classList.add("same");
    }
    const isLong = entry.text.length > LONG_TEXT || entry.text.split("\n", 8).length > 7;
    fillText(paragraph, runs, isLong);
    if (isLong) block.append(unclampButton(paragraph, runs));
    if (notes.length) block.append(make("span", "note", notes.join(", ")));
    return block;
  }

  function unclampButton(paragraph, runs) {
    paragraph.classList.add("clamped");
    const button = make("button", "quiet", "Show all");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const isClamped = paragraph.classList.toggle("clamped");
      fillText(paragraph, runs, isClamped);
      button.textContent = isClamped ? "Show all" : "Show less";
      button.setAttribute("aria-expanded", String(!isClamped));
    });
    return button;
  }

  // --- a group -----------------------------------------------------------------------------

  function rowName(entry) {
    const name = make("bdi", "name", entry.id ?? `row ${entry.row.toLocaleString("en")}`);
    name.title = `row ${entry.row} of the file, counted from 0`;
    return name;
  }

  function keptRow(group) {
    const row = make("div", "row kept-row");
    const about = row.appendChild(make("div", "about"));
    about.append(make("span", "badge kept", data.keptWord), rowName(group.kept));
    row.append(textBlock(group.kept, null));
    return row;
  }

  function memberRow(group, member) {
    const row = make("li", "row");
    const about = row.appendChild(make("div", "about"));
    const reason = data.reasons[member.reason];
    const similarity = make("span", "similarity", similarityText(member.similarity));
    similarity.title = "similarity to the kept row";
    about.append(similarity, make("span", `badge ${reason}`, reason), rowName(member));
    row.append(textBlock(member, group.kept));
    return row;
  }

  function groupItem({ group, members }) {
    const item = make("li", "group");
    const head = item.appendChild(make("div", "group-head"));
    const title = make("h3", "", data.against
      ? `${plural(group.size, "row")} ${group.size === 1 ? "repeats" : "repeat"} this`
      : plural(group.size, "row"));
    head.append(title);
    const lowest = make("span", "lowest", "lowest similarity ");
    lowest.append(make("b", "", similarityText(group.lowest)));
    head.append(lowest);
    const hidden = group.members.length - members.length;
    if (hidden) head.append(make("span", "note", `${plural(hidden, "row")} filtered out`));
    item.append(keptRow(group));
    const rows = item.appendChild(make("ul", "members"));
    const button = make("button", "quiet wide");
    button.type = "button";
    let shown = 0;
    const showMore = (howMany) => {
      const fresh = members.slice(shown, shown + howMany).map((m) => memberRow(group, m));
      rows.append(...fresh);
      shown += fresh.length;
      const rest = members.length - shown;
      button.hidden = rest === 0;
      const next = Math.min(rest, MEMBERS_AT_A_TIME);
      button.textContent = `Show ${next.toLocaleString("en")} more` +
        (rest > next ? ` of ${rest.toLocaleString("en")}` : "");
      return fresh;
    };
    // A button for one or two rows would take the room of those rows.
    showMore(members.length <= MEMBERS_AT_FIRST + 2 ? members.length : MEMBERS_AT_FIRST);
    button.addEventListener("click", () => {
      const [first] = showMore(MEMBERS_AT_A_TIME);
      first.tabIndex = -1;
      first.focus({ preventScroll: true });
    });
    item.append(button);
    if (group.leftOut) {
      item.append(make("p", "note", `${plural(group.leftOut, "row")} of this group are not in this page.`));
    }
    return item;
  }

  // --- the list: filtered, sorted, and built as far as it is looked at ----------------------

  const at = (id) => document.getElementById(id);
  const [search, sort, ceiling, ceilingShown, differences, status, more, noMatch] =
    ["search", "sort", "ceiling", "ceiling-shown", "differences", "status", "more", "no-match"].map(at);
  const reasonBoxes = [...document.querySelectorAll("input[name=reason]")];
  const ORDERS = {
    size: (a, b) => b.size - a.size || a.index - b.index,
    lowest: (a, b) => a.lowest - b.lowest || a.index - b.index,
    row: (a, b) => a.firstRow - b.firstRow,
  };
  let matches = [];
  let built = 0;

  function matching(group, words, reasons, limit) {
    const has = (entry) => {
      entry.folded ??= `${entry.id ?? ""}\n${entry.text}`.toLocaleLowerCase();
      return words.every((word) => entry.folded.includes(word));
    };
    const allowed = group.members.filter((m) =>
      reasons.has(m.reason) && (m.similarity === null || m.similarity <= limit));
    const members = !words.length || has(group.kept) ? allowed : allowed.filter(has);
    return members.length ? [{ group, members }] : [];
  }

  function update() {
    const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const reasons = new Set(reasonBoxes.filter((box) => box.checked).map((box) => +box.value));
    const isOpen = +ceiling.value >= 1;
    const limit = isOpen ? Infinity : +ceiling.value + 1e-9;
    ceilingShown.textContent = (+ceiling.value).toFixed(3);
    matches = groups.flatMap((group) => matching(group, words, reasons, limit));
    matches.sort((a, b) => ORDERS[sort.value](a.group, b.group));
    list.replaceChildren();
    built = 0;
    build(GROUPS_AT_A_TIME);
    const rows = matches.reduce((sum, match) => sum + match.members.length, 0);
    const repeated = data.against ? "repeated row" : "removed row";
    status.textContent = `${plural(matches.length, "group")}, ${plural(rows, repeated)}`;
    noMatch.hidden = matches.length > 0;
  }

  function build(howMany) {
    list.append(...matches.slice(built, built + howMany).map(groupItem));
    built = Math.min(built + howMany, matches.length);
    more.hidden = built >= matches.length;
    // An observer tells of changes only; on a tall screen one helping may not fill the page.
    observer.unobserve(more);
    if (!more.hidden) observer.observe(more);
  }

  const observer = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) build(GROUPS_AT_A_TIME);
  }, { rootMargin: "1200px" });

  function clearFilters() {
    search.value = "";
    ceiling.value = ceiling.max;
    for (const box of reasonBoxes) box.checked = true;
    update();
    search.focus();
  }

  function later(action) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, 120);
    };
  }

  function setUp() {
    const lowest = groups.flatMap((g) => g.members.map((m) => m.similarity ?? 1))
      .reduce((least, value) => Math.min(least, value), 1);
    ceiling.min = Math.floor(lowest * 100) / 100;
    ceiling.value = ceiling.max;
    ceiling.closest("label").hidden = lowest > 0.9995; // Nothing lies below the top.
    const soon = later(update);
    search.addEventListener("input", soon);
    ceiling.addEventListener("input", soon);
    for (const control of [sort, differences, ...reasonBoxes]) {
      control.addEventListener("change", update);
    }
    at("reset").addEventListener("click", clearFilters);
    at("more-button").addEventListener("click", () => build(GROUPS_AT_A_TIME));
    window.addEventListener("beforeprint", () => build(Math.max(0, GROUPS_IN_PRINT - built)));
    at("toolbar").hidden = false;
    update();
  }

  setUp();
})();
