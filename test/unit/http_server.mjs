// What test_http.c talks to: answers well and badly, over plain HTTP/1.1 and over TLS with HTTP/2.
// Prints "<plain port> <tls port> <certificate file>" once it listens; ends when its standard input does.
import http from 'node:http';
import http2 from 'node:http2';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const dir = mkdtempSync(join(tmpdir(), 'dibs-http-'));
execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', join(dir, 'key'), '-out', join(dir, 'cert')], { stdio: 'ignore' });

const seen = new Map(); // key -> how often a whole request with that key arrived
let connections = 0;
let sessions = 0;

const routes = {
  '/ok': (req, res, body) => {
    res.setHeader('X-Length', ` ${body.length} `);
    res.end(JSON.stringify({ method: req.method, auth: req.headers.authorization ?? null, body: body.toString() }));
  },
  '/delay': (req, res, body, q) => setTimeout(() => res.end('late'), Number(q.get('ms'))),
  '/status': (req, res, body, q) => { res.statusCode = Number(q.get('code')); res.end('said'); },
  '/seen': (req, res, body, q) => res.end(String(seen.get(q.get('of')) ?? 0)),
  '/connections': (req, res) => res.end(`${connections} ${sessions}`),
  '/redirect': (req, res) => { res.statusCode = 302; res.setHeader('Location', '/ok'); res.end(); },
  '/hang': () => {},
  '/reset': (req, res) => (res.stream ? res.stream.close(2) : res.socket.resetAndDestroy()),
  '/close': (req, res) => res.socket.destroy(),
  '/truncated': (req, res) => {
    res.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this', () => res.socket.destroy());
  },
  '/garbage': (req, res) => res.socket.end('\x00\x01\x02 what is HTTP?\r\n\r\n'),
  '/drip': (req, res) => {
    const t = setInterval(() => res.write('x'), 50);
    res.on('close', () => clearInterval(t));
  },
  '/big': (req, res, body, q) => {
    let left = Number(q.get('mb'));
    if (q.get('length')) res.setHeader('Content-Length', left * 1048576);
    const piece = Buffer.alloc(1048576, 120);
    const more = () => {
      while (left > 0 && !res.destroyed) { left--; if (!res.write(piece)) return res.once('drain', more); }
      if (left === 0) res.end();
    };
    more();
  },
  '/headers': (req, res) => {
    for (let i = 0; i < 100; i++) res.setHeader(`X-Filler-${i}`, 'y'.repeat(1000));
    res.end();
  },
  // answers the first request of a connection; the next one is read to its end and never answered
  '/once': (req, res) => {
    if (res.socket.dibsUsed) return res.socket.destroy();
    res.socket.dibsUsed = true;
    res.end('first');
  },
};

function handle(req, res) {
  const url = new URL(req.url, 'http://127.0.0.1');
  const parts = [];
  req.on('data', (d) => parts.push(d));
  req.on('error', () => {});
  res.on('error', () => {});
  req.on('end', () => {
    const key = url.searchParams.get('key');
    if (key) seen.set(key, (seen.get(key) ?? 0) + 1);
    (routes[url.pathname] ?? ((q, r) => { r.statusCode = 404; r.end(); }))(req, res, Buffer.concat(parts), url.searchParams);
  });
}

const plain = http.createServer({ keepAliveTimeout: 60000, maxHeaderSize: 65536 }, handle);
plain.on('connection', () => connections++);
const tls = http2.createSecureServer({ allowHTTP1: true, key: readFileSync(join(dir, 'key')), cert: readFileSync(join(dir, 'cert')) }, handle);
tls.on('session', () => sessions++);
tls.on('sessionError', () => {});
plain.listen(0, '127.0.0.1', 1024, () => tls.listen(0, '127.0.0.1', 1024, () => {
  console.log(`${plain.address().port} ${tls.address().port} ${join(dir, 'cert')}`);
}));
process.stdin.resume();
process.stdin.on('end', () => { rmSync(dir, { recursive: true }); process.exit(0); });
