import type { WireFormat } from "./duologue.mjs";

export const cbor: WireFormat;
