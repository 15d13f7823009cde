// Returns what breaks a rule of docs/testing.md#rules-of-the-pages on the page, as
// a list of sentences. The page must be width pixels wide.
(width) => {
  const sizes = [13, 14, 16, 18, 24], weights = ['400', '500', '600'];
  const faults = [];
  const fault = (rule, e) => faults.push(`${rule}: ${e.outerHTML.replace(/\s+/g, ' ').slice(0, 160)}`);
  const isClipped = (e) => e && (getComputedStyle(e).clipPath === 'inset(50%)' || isClipped(e.parentElement));
  const isShown = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.printed') && !isClipped(e);
  const shown = (css) => [...document.querySelectorAll(css)].filter(isShown);
  const round = (n) => Math.round(n * 100) / 100;

  // Elements that have text of their own.
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const written = new Set(shown('input:not([type=checkbox], [type=radio], [type=hidden]), select'));
  const nodes = [];
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !isShown(e) || e.matches('option, script, style, noscript')) continue;
    written.add(e);
    nodes.push(texts.currentNode);
  }

  // Everything is inside the page, and no text is cut off or leaves its box.
  const scrolls = document.documentElement.scrollWidth;
  if (scrolls > width) faults.push(`the page scrolls sideways: it is ${scrolls} px wide`);
  for (const e of shown('body *')) {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (box.width && !e.closest('svg, .skip') && (box.left < -0.5 || box.right > width + 0.5)) fault(`outside of the page, from ${round(box.left)} to ${round(box.right)}`, e);
    if (e.clientWidth && e.scrollWidth > e.clientWidth + 1 && (written.has(e) || style.overflowX !== 'visible') && !e.matches('input, .skip')) fault(`content of ${e.scrollWidth} px in a box of ${e.clientWidth} px (overflow ${style.overflowX})`, e);
  }

  // No word is broken, except an address, a very long one, and one of a language
  // without spaces.
  const range = document.createRange();
  for (const node of nodes) {
    for (const word of node.data.matchAll(/[^\s\-\u00ad\u2010\u2011]+/gu)) {
      if (word[0].length > 24 || /\.\p{L}|[@•/\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(word[0])) continue;
      const afterHyphen = node.data[word.index - 1] === '\u00ad'; // whose box belongs to the next letter
      range.setStart(node, word.index + (afterHyphen ? 1 : 0));
      range.setEnd(node, word.index + word[0].length);
      const lines = [...range.getClientRects()].filter((box) => box.width);
      if (lines.length > 1 && lines.at(-1).top - lines[0].top > 4) fault(`the word ${word[0]} is broken`, node.parentElement);
    }
  }

  // A flex box drops the spaces between a text and an element in it.
  for (const e of written) {
    const style = getComputedStyle(e);
    if (style.display.includes('flex') && !parseFloat(style.columnGap) && e.querySelector(':scope > :is(a, b, bdi, code, em, strong)')) fault('a text loses its spaces in a flex box', e);
  }

  // Type has the sizes and weights of the scale.
  for (const e of written) {
    const style = getComputedStyle(e);
    if (!sizes.includes(round(parseFloat(style.fontSize)))) fault(`text of ${style.fontSize}`, e);
    if (!weights.includes(style.fontWeight)) fault(`text of the weight ${style.fontWeight}`, e);
  }

  // A finger hits what can be pressed.
  const press = 'a[href], button, summary, select, input:not([type=hidden])';
  for (const e of shown(press)) {
    const target = e.matches('[type=checkbox], [type=radio]') ? e.closest('label') : e;
    if (!target) { fault('a box without a label around it', e); continue; }
    const box = target.getBoundingClientRect();
    if (e.matches('a:not(.btn, .btn-link)')) {
      if (getComputedStyle(e).display !== 'inline' && box.height < 24) fault(`a link of ${round(box.height)} px`, e);
    } else if (box.width < 43.99 || box.height < 43.99) {
      fault(`a target of ${round(box.width)} by ${round(box.height)} px`, e);
    }
  }

  // One heading of the page, and no level is left out.
  const headings = shown('h1, h2, h3, h4, h5, h6').map((e) => Number(e.tagName[1]));
  if (headings.filter((level) => level === 1).length !== 1) faults.push(`there must be one h1: ${headings}`);
  headings.forEach((level, i) => { if (level > (headings[i - 1] ?? 0) + 1) faults.push(`a heading leaves out a level: ${headings}`); });

  // A section has one filled button at most.
  const filled = new Map();
  for (const e of shown('.btn-primary, .btn-danger')) {
    const section = e.closest('section, .card, main');
    if (filled.has(section)) fault('a second filled button in a section', e);
    filled.set(section, e);
  }

  // The name that is announced has the words that are seen (WCAG 2.2, 2.5.3).
  for (const e of shown('[aria-label]:is(a, button, summary)')) {
    if (!e.getAttribute('aria-label').toLowerCase().includes(e.innerText.trim().toLowerCase())) fault('a name without the words on it', e);
  }

  // The focus is visible on everything that can have it.
  const before = document.activeElement;
  for (const e of shown(press)) {
    if (e.disabled) continue;
    e.focus({ preventScroll: true });
    const style = getComputedStyle(e);
    if (document.activeElement !== e || !e.matches(':focus-visible') || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) fault('no visible focus', e);
  }
  document.activeElement.blur();
  before.focus({ preventScroll: true });
  return faults;
}
