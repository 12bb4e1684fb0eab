// A model card's Markdown: headings, lists, tables, code and paragraphs; links stay as they are written.

import { element } from "./elements.js";

export function renderCard(markdown) {
  const parts = [];
  for (const block of blocks(markdown)) parts.push(render(block));
  return parts;
}

// Lines that belong together: fenced code, or what blank lines and headings part.
function blocks(markdown) {
  const found = [];
  let block = [], fenced = false;
  const close = () => { if (block.length) found.push(block); block = []; };
  for (const line of markdown.split("\n")) {
    const fence = line.startsWith("```");
    if (fenced) {
      block.push(line);
      if (fence) { fenced = false; close(); }
    } else if (fence) {
      close(); fenced = true; block.push(line);
    } else if (!line.trim()) close();
    else if (line.startsWith("#")) { close(); found.push([line]); }
    else block.push(line);
  }
  close();
  return found;
}

function render(lines) {
  const [first] = lines;
  if (first.startsWith("```")) return element("pre", {}, lines.slice(1).filter((l) => !l.startsWith("```")).join("\n"));
  const heading = /^(#+)\s+(.*)/.exec(first);
  if (heading) return element(heading[1].length > 2 ? "h4" : "h3", {}, plain(heading[2]));
  if (first.startsWith("|")) return table(lines);
  if (/^[-*]\s/.test(first)) return list(lines);
  return element("p", {}, plain(lines.join(" ")));
}

function table(lines) {
  const rows = lines.filter((line) => !/^[|\s:-]+$/.test(line))
    .map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => plain(cell.trim())));
  const [header, ...others] = rows;
  const made = (tag, row) => element("tr", {}, ...row.map((cell) => element(tag, {}, cell)));
  return element("table", {}, element("thead", {}, made("th", header)), element("tbody", {}, ...others.map((row) => made("td", row))));
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (/^[-*]\s/.test(line)) items.push(line.slice(2));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return element("ul", {}, ...items.map((item) => element("li", {}, plain(item))));
}

const plain = (text) => text.replace(/\*\*(.+?)\*\*/g, "$1").replace(/`([^`]+)`/g, "$1");
