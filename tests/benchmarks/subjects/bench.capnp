@0xd1e2a8c3b4f59607;

interface Bench {
  add @0 (a :Int64, b :Int64) -> (sum :Int64);
  echo @1 (data :Data) -> (data :Data);
  log @2 (line :Text) -> ();
  handled @3 () -> (count :Int64);
}
