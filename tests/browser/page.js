// What each look at the page has in common: a browser as somebody's, what it complains of, what does not fit, and each view in one shape.
//
// Used by run.js and zone.js. Must not know a view or a zone.
"use strict";
const path = require("path");
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const url = process.env.PAGE_URL;
const pki = process.env.PAGE_PKI;
const pictures = process.env.PAGE_PICTURES;
const DEADLINE = 60000;

const faults = [];
const fault = (where, what) => { faults.push(`${where}: ${what}`); console.log(`FAULT ${where}: ${what}`); };
const expect = (where, holds, what) => { if (!holds) fault(where, what); };

const context = (browser, name, more = {}) => browser.newContext({
  ignoreHTTPSErrors: true,
  ...(name ? { clientCertificates: [{ origin: url, certPath: path.join(pki, `${name}.crt`), keyPath: path.join(pki, `${name}.key`) }] } : {}),
  ...more,
});

// What a browser complains of: a policy that was broken, a script that failed, an answer that did not come.
const listen = (page, where) => {
  page.on("pageerror", (error) => fault(where(), `script: ${error.message}`));
  page.on("console", (message) => { if (message.type() === "error" && !/status of (403|404)/.test(message.text())) fault(where(), `console: ${message.text()}`); });
};

// No view has a frame of another origin, for which axe would open a page of its own each time.
const axe = (page) => new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ["violations"] }).analyze();

const overflow = () => {
  const wide = document.documentElement.clientWidth;
  const outside = [...document.querySelectorAll("body *")].filter((one) => {
    if (one.closest(".scroll, .views, .sub, svg, pre, .unseen, .skip, dialog")) return false;
    const box = one.getBoundingClientRect();
    return box.width > 0 && (box.right > wide + 1 || box.left < -1);
  });
  return { page: document.documentElement.scrollWidth > wide + 1, outside: outside.slice(0, 3).map((one) => one.outerHTML.slice(0, 160)) };
};

// Each of these views in one shape, as somebody with a certificate of this name, or with this session.
const look = async (browser, views, shape, name, session) => {
  const made = await context(browser, name, {
    viewport: { width: shape.width, height: 900 }, colorScheme: shape.scheme, javaScriptEnabled: shape.script,
    ...(session ? { storageState: session } : {}),
  });
  const page = await made.newPage();
  let at = "";
  listen(page, () => at);
  for (const [name, to] of views) {
    at = `${name} ${shape.width} ${shape.scheme}${shape.script ? "" : " without a script"}`;
    await page.goto(url + to, { waitUntil: "load", timeout: DEADLINE });
    const title = await page.locator("h1").count();
    expect(at, title === 1, `has ${title} headings`);
    const over = shape.script ? await page.evaluate(overflow) : { page: false, outside: [] };
    expect(at, !over.page && !over.outside.length, `does not fit: ${over.outside.join(" ")}`);
    if (shape.script) {
      const found = await axe(page);
      for (const one of found.violations) fault(at, `axe ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" | ")}`);
    }
    if (pictures) await page.screenshot({ path: path.join(pictures, `${name}-${shape.width}-${shape.scheme}${shape.script ? "" : "-plain"}.png`), fullPage: true });
  }
  await made.close();
};

// Signs in by a one-time link.
const signInByLink = async (page) => {
  await page.goto(url + process.env.PAGE_LINK, { timeout: DEADLINE });
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/`, { timeout: DEADLINE });
};

// Does it with a browser, and ends with what was found; `done` is what is said where that is nothing.
const run = async (done, act) => {
  try {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      await act(browser);
    } finally {
      await browser.close();
    }
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
  console.log(faults.length ? `${faults.length} faults` : done);
  process.exit(faults.length ? 1 : 0);
};

const SHAPES = [1280, 390].flatMap((width) => ["light", "dark"].map((scheme) => ({ width, scheme, script: true })));

module.exports = { url, DEADLINE, SHAPES, axe, fault, expect, context, listen, look, signInByLink, run };
