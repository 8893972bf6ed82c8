// Looks at pages with a browser: everything is read, nothing is cut off or lies over something else, axe
// finds nothing, no request is made, and the page's policy is kept.
//
//   node check.mjs BROWSER FOLDER

import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [browserPath, given] = process.argv.slice(2);
const folder = resolve(given);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// The narrowest phone that is read on, a usual one, a screen; in points.
const WIDTHS = [360, 390, 1280];
// The dark theme has other colours, and nothing else.
const LOOKS = [...WIDTHS.map((width) => ["light", width]), ["dark", 390], ["dark", 1280]];
// Screenshots have at most so many points from top to bottom.
const SHOT_HEIGHT_MAX = 12_000;

// Fewer rules than apply to any of these pages: axe was there.
const RULES_MIN = 20;

const problems = [];
let looked = 0;

// What the page says of itself, measured in the browser.
function measure() {
  const wide = document.documentElement;
  const found = [];
  if (wide.scrollWidth > wide.clientWidth) {
    found.push(`the page is ${wide.scrollWidth} wide where there are ${wide.clientWidth}`);
  }
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    if (element.closest(".scroll") || element.matches(".skip")) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > wide.clientWidth + 1 || box.left < -1)) {
      found.push(`${element.tagName} ${element.className} reaches from ${box.left} to ${box.right}`);
    }
  }
  for (const svg of document.querySelectorAll("svg.chart")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((it) => [it.textContent, it.getBoundingClientRect()]);
    for (const [at, [text, box]] of texts.entries()) {
      if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.bottom > frame.bottom + 2) {
        found.push(`"${text}" is cut off in its picture`);
      }
      for (const [other, it] of texts.slice(at + 1)) {
        const apart =
          box.right <= it.left || it.right <= box.left || box.bottom <= it.top + 2 || it.bottom <= box.top + 2;
        if (!apart) found.push(`"${text}" lies over "${other}"`);
      }
    }
  }
  // Without its border, which is two points wide: what has no width at all has no border either.
  for (const drawn of document.querySelectorAll("svg.chart rect")) {
    const box = drawn.getBoundingClientRect();
    if (box.width < 0.5 || box.height < 0.5) {
      found.push(`"${drawn.textContent}" is not drawn`);
      break;
    }
  }
  // Letters against what is behind them; axe leaves pictures, and what is scrolled, undecided.
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const color = numbers(getComputedStyle(it).backgroundColor);
      if (color.length === 3 || color[3] === 1) return light(color);
    }
    return 1;
  };
  const seen = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const has = [...element.childNodes].some((it) => it.nodeType === 3 && it.data.trim());
    if (!has || element.matches("title, desc")) continue;
    const style = getComputedStyle(element);
    const letters = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(numbers(letters)), behind(element)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${element.tagName} ${element.getAttribute("class") ?? ""}`;
    if (contrast < 4.5 && !seen.has(name)) found.push(`${name} has a contrast of ${contrast.toFixed(2)}`);
    seen.add(name);
  }
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  if (new Set(ids).size !== ids.length) found.push("an id is there twice");
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(link.hash.slice(1))) found.push(`${link.hash} leads nowhere`);
  }
  if (getComputedStyle(document.body).maxWidth !== "1152px") found.push("the style is not applied");
  return found;
}

// What axe leaves to a person: contrast it does not see, which is measured above, and the headings of
// groups of rows, which head rows.
const LEFT_BY_AXE = new Set(["color-contrast", "th-has-data-cells"]);

async function judge(page) {
  await page.evaluate(axe);
  const judged = await page.evaluate(() => axe.run(document, { resultTypes: ["violations", "incomplete"] }));
  const left = judged.incomplete.filter((rule) => !LEFT_BY_AXE.has(rule.id));
  const found = [...judged.violations, ...left].map((rule) => {
    const nodes = rule.nodes.map((node) => node.target.join(" "));
    return `axe, ${rule.id}: ${rule.help}: ${nodes.slice(0, 3).join(", ")} (${nodes.length})`;
  });
  if (judged.passes.length < RULES_MIN) found.push(`axe applied ${judged.passes.length} rules alone`);
  return found;
}

async function byKeyboard(page) {
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement?.className);
  if (first !== "skip") return ["the first Tab does not lead to the skip link"];
  const wanted = await page.evaluate(() => {
    const all = document.querySelectorAll("a, summary, .scroll");
    return [...all].filter((it) => it.checkVisibility()).length;
  });
  let reached = 1;
  for (let tabs = 1; tabs < wanted; tabs += 1) {
    await page.keyboard.press("Tab");
    reached += await page.evaluate(() => Number(document.activeElement !== document.body));
  }
  return reached === wanted ? [] : [`${reached} of ${wanted} places are reached by Tab`];
}

async function printed(page) {
  await page.emulateMedia({ media: "print" });
  const found = await page.evaluate(() => {
    const closed = document.querySelector("details:not([open]) table");
    return closed && closed.getBoundingClientRect().height === 0 ? ["the batches are not printed"] : [];
  });
  await page.pdf({ format: "A4" });
  await page.emulateMedia({ media: "screen" });
  return found;
}

async function look(browser, name, theme, width) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: theme });
  const page = await context.newPage();
  const at = `${name}, ${theme}, ${width}`;
  const tell = (found) => problems.push(...found.map((it) => `${at}: ${it}`));
  const url = pathToFileURL(join(folder, name)).href;
  page.on("console", (said) => tell([`the console says: ${said.text()}`]));
  page.on("pageerror", (error) => tell([`an error: ${error}`]));
  page.on("request", (request) => request.url() === url || tell([`a request of ${request.url()}`]));
  await page.goto(url);
  tell(await page.evaluate(measure));
  if (theme === "light") tell(await byKeyboard(page));
  // The batches, too.
  await page.evaluate(() => document.querySelectorAll("details").forEach((it) => (it.open = true)));
  tell(await page.evaluate(measure));
  if (width !== WIDTHS[0]) tell(await judge(page));
  await page.evaluate(() => document.querySelectorAll("details").forEach((it) => (it.open = false)));
  if (theme === "light" && width === 1280) tell(await printed(page));
  const height = Math.min(await page.evaluate(() => document.documentElement.scrollHeight), SHOT_HEIGHT_MAX);
  const path = join(folder, "shots", `${name.replace(".html", "")}-${theme}-${width}.png`);
  await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width, height } });
  await context.close();
  looked += 1;
}

const names = readdirSync(folder).filter((name) => name.endsWith(".html"));
if (names.length === 0) throw new Error(`there is no page in ${folder}`);
mkdirSync(join(folder, "shots"), { recursive: true });
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
for (const name of names) {
  for (const [theme, width] of LOOKS) await look(browser, name, theme, width);
}
await browser.close();
for (const problem of problems) console.log(problem);
const failed = new Set(problems.map((it) => it.split(":")[0])).size;
console.log(`${looked - failed} passed, ${failed} failed`);
process.exitCode = problems.length === 0 ? 0 : 1;
