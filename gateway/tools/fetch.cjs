// Makes `fetch` of older Node releases use the proxy that the environment names; newer ones do so
// by themselves with NODE_USE_ENV_PROXY. Loaded by NODE_OPTIONS; costs nothing before a first fetch.
"use strict";

const [major, minor] = process.versions.node.split(".").map(Number);
const native = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);
const proxy = process.env.https_proxy || process.env.http_proxy;

if (!native && proxy && typeof globalThis.fetch === "function") {
  const fetch = globalThis.fetch;
  let prepared = false;
  const value = function (input, init) {
    if (!prepared) {
      prepared = true;
      prepare(new URL(proxy));
    }
    return fetch(input, init);
  };
  Object.defineProperty(value, "name", { value: "fetch" });
  Object.defineProperty(globalThis, "fetch", { value, writable: true, configurable: true });
}

// Gives the dispatcher behind `fetch` another way to connect. Its class is not exported: it is
// taken from the one that is there as soon as any part of `fetch` has been used.
function prepare(address) {
  const key = Symbol.for("undici.globalDispatcher.1");
  void globalThis.Headers;
  const present = globalThis[key];
  if (present && present.constructor.name === "Agent") {
    globalThis[key] = new present.constructor({ connect: connector(address) });
  }
}

function connector(address) {
  const http = require("node:http");
  const net = require("node:net");
  const tls = require("node:tls");
  const local = new Set(["localhost", "127.0.0.1", "[::1]", "::1"]);

  return ({ hostname, port, protocol, servername }, done) => {
    const secure = protocol === "https:";
    const number = Number(port) || (secure ? 443 : 80);
    const finish = (socket) => {
      if (!secure) return done(null, socket);
      const options = { socket, servername: servername || hostname, ALPNProtocols: ["http/1.1"] };
      const encrypted = tls.connect(options);
      encrypted.once("secureConnect", () => done(null, encrypted));
      encrypted.once("error", done);
    };
    if (local.has(hostname)) {
      const socket = net.connect(number, hostname.replace(/[[\]]/g, ""));
      socket.once("connect", () => finish(socket));
      socket.once("error", done);
      return;
    }
    const path = `${hostname}:${number}`;
    const request = http.request({
      host: address.hostname,
      port: address.port,
      method: "CONNECT",
      path,
      headers: { host: path },
      agent: false,
    });
    request.once("connect", (answer, socket) => {
      if (answer.statusCode === 200) return finish(socket);
      socket.destroy();
      const rule = answer.headers["x-wharfkeep-egress"];
      done(new Error(`the proxy refused ${path}: ${answer.statusCode} (${rule})`));
    });
    request.once("error", done);
    request.end();
  };
}
