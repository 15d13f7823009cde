// Conveniences only: every page works without this file.
'use strict';

// copy copies a text and says whether it could. A browser may refuse.
const copy = async (text, said) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    said.textContent = said.dataset.failed;
    return false;
  }
  said.textContent = said.dataset.said;
  return true;
};

// Recovery codes: "Done" opens once they are downloaded, printed or copied.
const done = document.querySelector('[data-done]');
const saved = () => {
  if (!done) return;
  done.querySelector('button').disabled = false;
  done.querySelector('input[name=saved]').checked = true;
  done.querySelector('[data-hint]').hidden = true;
};
if (done) {
  done.querySelector('button').disabled = true;
  done.querySelector('label.check').hidden = true;
  done.querySelector('[data-hint]').hidden = false;
}
document.querySelectorAll('[data-saves]').forEach((a) => a.addEventListener('click', saved));
document.querySelectorAll('[data-print]').forEach((button) => {
  button.hidden = false;
  button.addEventListener('click', () => { window.print(); saved(); });
});
document.querySelectorAll('[data-copy]').forEach((button) => {
  const codes = document.querySelector('[data-codes]');
  if (!codes || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener('click', async () => {
    const text = Array.from(codes.querySelectorAll('code'), (c) => c.textContent).join('\n');
    if (await copy(text, button.parentElement.querySelector('[data-said]'))) saved();
  });
});

// Addresses of members, to copy.
document.querySelectorAll('[data-copytext]').forEach((button) => {
  const field = button.closest('.field');
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener('click', async () => {
    await copy(field.querySelector('[data-text]').value, field.querySelector('[data-said]'));
  });
});

// A form that must not be sent twice. A field of it can have any name, so its own
// properties cannot be trusted.
const once = document.querySelector('form[data-once]');
let sent = false;
document.addEventListener('submit', (event) => {
  if (event.target !== once) return;
  if (sent) return event.preventDefault();
  sent = true;
  document.querySelectorAll('form[data-once] > button').forEach((button) => { button.hidden = true; });
  document.querySelectorAll('[data-sent]').forEach((text) => { text.hidden = false; });
});

// A login that another site has posted goes on by itself, and so does a form that
// has waited for a code.
const onward = document.querySelector('form[data-submit]');
if (onward) HTMLFormElement.prototype.requestSubmit.call(onward);

// The page that waits for a mailed link goes on once it was opened in this browser.
const waiting = document.querySelector('[data-poll]');
if (waiting) {
  waiting.querySelector('[hidden]').hidden = false;
  const held = document.querySelector('form[data-continue]'); // has a form that waits, too
  const leave = (to) => (held ? held.requestSubmit() : location.replace(to));
  let over = 0; // seen twice, because the answer in the other tab may be on its way
  const look = async () => {
    try {
      const answer = await fetch(waiting.dataset.poll, { headers: { Accept: 'application/json' }, cache: 'no-store' });
      if (answer.ok) {
        const { state } = await answer.json();
        if (state === 'done') return leave(waiting.dataset.next);
        over = state === 'over' ? over + 1 : 0;
        if (over > 1) return leave(waiting.dataset.self);
      }
    } catch { /* offline: look again */ }
    setTimeout(look, 3000);
  };
  setTimeout(look, 3000);
}

// WebOTP: the browser offers to fill in the texted code.
const field = document.querySelector('[data-webotp]');
if (field && 'OTPCredential' in window) {
  navigator.credentials.get({ otp: { transport: ['sms'] } }).then((otp) => { if (otp) field.value = otp.code; }, () => {});
}

// The counts of the filters arrive after the list of members, a part at a time. If
// a part is missing, none is shown.
const filters = document.querySelector('[data-counts]');
if (filters) {
  const slots = filters.querySelectorAll('[data-count]');
  const total = {}, seen = new Set();
  const show = (end) => slots.forEach((slot) => {
    const count = (total[slot.dataset.count] || 0).toLocaleString(document.documentElement.lang);
    slot.textContent = count + end;
    slot.hidden = false;
  });
  const count = async (after) => {
    const answer = await fetch(filters.dataset.counts + '&after=' + encodeURIComponent(after), { headers: { Accept: 'application/json' }, cache: 'no-store' });
    if (!answer.ok || seen.has(after)) throw new Error('incomplete');
    seen.add(after);
    const { counts, next } = await answer.json();
    for (const name in counts) total[name] = (total[name] || 0) + counts[name];
    show(next ? '+' : '');
    if (next) await count(next);
  };
  count('').catch(() => slots.forEach((slot) => { slot.hidden = true; }));
}

// Back must not show a page from memory, because the user may have signed out. It
// is hidden before the browser keeps it.
addEventListener('pagehide', (event) => { if (event.persisted) document.documentElement.hidden = true; });
addEventListener('pageshow', (event) => { if (event.persisted) location.replace(location.origin + location.pathname + location.search); });
