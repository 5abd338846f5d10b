// What the wire formats write and read, and what they refuse.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cbor } from "../../../../contrib/duologue_contrib/browser/client/cbor.mjs";
import { json } from "../../../../contrib/duologue_contrib/browser/client/json.mjs";
import { msgpack } from "../../../../contrib/duologue_contrib/browser/client/msgpack.mjs";
import { hex, hexOf } from "./common.mjs";

const FORMATS = [cbor, msgpack, json];
const textOf = (value) => new TextDecoder().decode(json.encode(value));
const parsed = (text) => json.decode(new TextEncoder().encode(text));
const nested = (depth, inner = 1) => (depth === 0 ? inner : [nested(depth - 1, inner)]);

const SAME = [
  null, true, false, 0, 1, -1, 23, 24, 255, 256, 65535, 65536, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1),
  2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n, -(2n ** 53n), -(2n ** 63n), 0.5, -1.25e-7, 1e300, 5e-324,
  "", "a", "ä €😀", "\u0000\"\\\n\u2028", "x".repeat(70_000), [], [1, [2, [3]]], {}, { a: 1, "": { b: [null] } },
  { constructor: 1, toString: 2, hasOwnProperty: 3 }, Array.from({ length: 70_000 }, (_, index) => index),
];

for (const format of FORMATS) {
  test(`${format.name}: values come back as they went`, () => {
    for (const value of SAME) {
      assert.deepEqual(format.decode(format.encode(value)), value);
    }
  });

  test(`${format.name}: a BigInt that a number can be comes back as a number`, () => {
    assert.deepEqual(format.decode(format.encode([5n, -(2n ** 40n), 2n ** 32n])), [5, -(2 ** 40), 2 ** 32]);
  });

  test(`${format.name}: undefined, dates, sets and objects of classes are written as JSON has it`, () => {
    class Point {
      x = 1;
      #hidden = 2;
    }
    const value = { a: undefined, b: [undefined], when: new Date(0), set: new Set([1, 2]), point: new Point() };
    assert.deepEqual(format.decode(format.encode(value)), { b: [null], when: "1970-01-01T00:00:00.000Z", set: [1, 2], point: { x: 1 } });
    assert.equal(format.decode(format.encode(undefined)), null);
  });

  test(`${format.name}: a Map may have integer keys, which are read as JavaScript has them`, () => {
    const value = format.decode(format.encode(new Map([[1, "a"], [-5, "b"], [2n ** 64n - 1n, "c"]])));
    assert.deepEqual(value, { 1: "a", "-5": "b", "18446744073709551615": "c" });
  });

  test(`${format.name}: what can't be sent is refused by its path`, () => {
    const circle = [];
    circle.push(circle);
    for (const [value, text] of [
      [{ a: [1, () => 1] }, /function.*\$\.a\[1\]/],
      [Symbol("x"), /symbol/],
      [{ n: 2n ** 64n }, /64 bits.*\$\.n/],
      [{ n: -(2n ** 64n) - 1n }, /64 bits/],
      [new Map([[1.5, 1]]), /keys of a Map/],
      [nested(33), /32 arrays/],
      [circle, /32 arrays/],
    ]) {
      assert.throws(() => format.encode(value), { name: "EncodeError", executed: "no", message: text });
    }
  });

  test(`${format.name}: 32 levels pass both ways, and 33 are refused`, () => {
    assert.deepEqual(format.decode(format.encode(nested(32))), nested(32));
  });

  test(`${format.name}: nothing, and what ends early or goes on, is refused`, () => {
    const whole = format.encode({ a: [1, "text", { b: null }] });
    for (let end = 0; end < whole.length; end++) {
      assert.throws(() => format.decode(whole.subarray(0, end)), { name: "DecodeError" });
    }
    for (const more of [0x00, 0x30, 0xf6, 0x7d]) {
      assert.throws(() => format.decode(Uint8Array.of(...whole, more)), { name: "DecodeError" });
    }
  });

  test(`${format.name}: any bytes are read or refused, and nothing else happens`, () => {
    let seed = 1;
    const random = () => (seed = (seed * 48271) % 2147483647);
    for (let round = 0; round < 5000; round++) {
      const bytes = Uint8Array.from({ length: random() % 40 }, () => random() % 256);
      try {
        format.decode(bytes);
      } catch (error) {
        assert.equal(error.name, "DecodeError", hexOf(bytes));
      }
    }
    assert.equal({}.polluted, undefined);
  });
}

test("bytes are bytes, and keep nothing of what they came in", () => {
  for (const format of [cbor, msgpack]) {
    const back = format.decode(format.encode({ a: Uint8Array.of(1, 2, 255), b: new Uint16Array([1]).buffer, c: new Uint8Array(70_000) }));
    assert.deepEqual(back, { a: Uint8Array.of(1, 2, 255), b: Uint8Array.of(1, 0), c: new Uint8Array(70_000) });
    assert.equal(back.a.buffer.byteLength, 3);
  }
  assert.equal(textOf(Uint8Array.of(1, 2, 255)), '"AQL/"');
  assert.equal(textOf(new Uint8Array(100_000)).length, 2 + 4 * Math.ceil(100_000 / 3));
});

test("floats that are no JSON are refused there, and only there", () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    assert.throws(() => json.encode([value]), { name: "EncodeError" });
    assert.deepEqual([cbor.decode(cbor.encode(value)), msgpack.decode(msgpack.encode(value))], [value, value]);
  }
});

test("MessagePack has no integers below -2^63", () => {
  assert.throws(() => msgpack.encode(-(2n ** 63n) - 1n), { name: "EncodeError" });
  assert.equal(cbor.decode(cbor.encode(-(2n ** 64n))), -(2n ** 64n));
  assert.equal(textOf(-(2n ** 64n)), "-18446744073709551616");
});

const REFUSED = {
  cbor: {
    "a key that is there twice": "a2 6161 01 6161 02",
    "an integer and its text as keys": "a2 01 01 6131 02",
    "a byte string as a key": "a1 4161 01",
    "an array as a key": "a1 80 01",
    "a tag": "c0 6161",
    "a big integer": "c2 41 01",
    undefined: "f7",
    "33 arrays": "81".repeat(33) + "01",
    "33 arrays of indefinite length": "9f".repeat(33) + "01" + "ff".repeat(33),
    "33 maps": "a1 6161 ".repeat(33) + "01",
    "a thousand arrays": "81".repeat(1000) + "01",
    "an array that is not there": "9b 00000000ffffffff",
    "an array of 2^63": "9b 8000000000000000",
    "a text that is not there": "7b 00000000ffffffff 61",
    "a text of indefinite length": "7f 6178 ff", // nobody writes those to a page
    "a lone break": "ff",
    "a reserved byte": "1c",
  },
  msgpack: {
    "a key that is there twice": "82 a161 01 a161 02",
    "an integer and its text as keys": "82 01 01 a131 02",
    "a byte string as a key": "81 c40161 01",
    "nil as a key": "81 c0 01",
    __proto__: "81 a95f5f70726f746f5f5f 80",
    "an extension type": "d4 01 00",
    "a timestamp": "d6 ff 00000000",
    "33 arrays": "91".repeat(33) + "01",
    "a thousand arrays": "91".repeat(1000) + "01",
    "an array that is not there": "dd ffffffff",
    "a map that is not there": "df ffffffff 01",
    "a text that is not there": "db ffffffff 61",
    "a reserved byte": "c1",
  },
};

for (const format of [cbor, msgpack]) {
  for (const [what, bytes] of Object.entries(REFUSED[format.name])) {
    test(`${format.name} refuses ${what}`, () => {
      assert.throws(() => format.decode(hex(bytes.replaceAll(" ", ""))), { name: "DecodeError" });
    });
  }
}

test("CBOR may be longer than it must be, and arrays and maps of indefinite length", () => {
  assert.deepEqual(cbor.decode(hex("bf6161 1b0000000000000005 6162 9f1801ff 6163 f93c00ff".replaceAll(" ", ""))), { a: 5, b: [1], c: 1 });
});

test("__proto__ is a key like others", () => {
  for (const value of [cbor.decode(hex("a1695f5f70726f746f5f5fa161610 1".replaceAll(" ", ""))), parsed('{"__proto__": {"a": 1}}')]) {
    assert.deepEqual(Object.keys(value), ["__proto__"]);
    assert.equal(value.a, undefined);
    assert.equal({}.a, undefined);
  }
});

test("JSON is read as its grammar says, and integers exactly", () => {
  for (const [text, value] of [
    [' {"a" : [ 1 , 2.5e1, -0.0, true ,false, null ] , "b":{} }\n', { a: [1, 25, -0, true, false, null], b: {} }],
    ['"\\u00e4\\ud83d\\ude00\\\\\\"\\/\\n"', 'ä😀\\"/\n'],
    ['"\\\\"', "\\"],
    ["18446744073709551615", 2n ** 64n - 1n],
    ["-9007199254740993", -9007199254740993n],
    ["9007199254740991", 2 ** 53 - 1],
    ["1E+2", 100],
    ["1" + "0".repeat(400), Infinity],
  ]) {
    assert.deepEqual(parsed(text), value);
  }
  for (const text of [
    "", " ", "tru", "truex", "nul", "01", "1.", ".5", "+1", "1e", "--1", "0x1", "NaN", "Infinity", "undefined", "'a'", '"a', '"\\"', '"\\x"', '"\n"',
    "[1,]", "[,1]", "[1 2]", "[", "]", "{", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", '{"a":1 "b":2}', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', "1 1",
    "[".repeat(33) + "]".repeat(33), "[".repeat(100_000), "\ufeff1", "\ud800",
  ]) {
    assert.throws(() => parsed(text), { name: "DecodeError" }, text.slice(0, 20));
  }
  assert.throws(() => json.decode(Uint8Array.of(0x22, 0xff, 0x22)), { name: "DecodeError" });
});
