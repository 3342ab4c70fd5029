// What the page does beside the server's HTML: fetches the panels that changed, and says how old each of them is.
// Everything here can be left out: pages are whole without script, and actions are plain forms.
"use strict";

const OLD_MS = 2000;
let stream = null;
let ages = { received: performance.now(), values: null };
let lastId = "";

// The link that `standfast console` prints: its token is in the fragment, which no server and no log ever sees.
function signIn() {
  const form = document.getElementById("sign-in");
  const token = location.hash.slice(1);
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.submit();
}

function spanOf(ms) {
  if (ms < 10000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 120000) return Math.round(ms / 1000) + " s";
  return Math.round(ms / 60000) + " min";
}

function showAges() {
  const passed = performance.now() - ages.received;
  for (const panel of document.querySelectorAll("[data-source]")) {
    const began = ages.values ? ages.values[panel.dataset.source] : Number(panel.dataset.age);
    const age = began + passed;
    const old = age > OLD_MS;
    panel.classList.toggle("old", old);
    const text = old ? "last known " + spanOf(age) + " ago" : spanOf(age) + " old";
    const label = panel.querySelector(".age");
    if (label.textContent !== text) label.textContent = text;
  }
}

function update(event) {
  const news = JSON.parse(event.data);
  lastId = event.lastEventId || lastId;
  for (const [name, html] of Object.entries(news.panels)) {
    const panel = document.getElementById(name);
    if (panel) Idiomorph.morph(panel, html, { morphStyle: "innerHTML", restoreFocus: true, ignoreActiveValue: true });
  }
  ages = { received: performance.now(), values: news.ages };
  say("Live");
  showAges();
}

function say(text) {
  const link = document.getElementById("link");
  if (link && link.textContent !== text) link.textContent = text;
}

// A browser has six connections to one server, so a page that nobody sees has none.
function connect() {
  const path = document.body.dataset.stream;
  if (!path || document.hidden || stream) return;
  stream = new EventSource(path + (lastId ? "&after=" + encodeURIComponent(lastId) : ""));
  stream.addEventListener("update", update);
  stream.addEventListener("error", () => {
    say("Not connected to the console; trying again");
    if (stream && stream.readyState === EventSource.CLOSED) {
      disconnect();
      setTimeout(connect, 1000);
    }
  });
}

function disconnect() {
  if (stream) stream.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);
signIn();
connect();
setInterval(showAges, 250);
