import type { WireFormat } from "./duologue.mjs";

export const msgpack: WireFormat;
