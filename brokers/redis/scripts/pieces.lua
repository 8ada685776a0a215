-- pieces: outcomes of many calls of blocks, as they are stored.
-- args: { {block, first place, last place}, ... }
-- returns: { {block, letters, places, outcomes, places, outcomes, ...} or false, ... } of the first of them, as many as a
--   reply should hold: at least one, and the others are asked for again
-- needs: results
local MOST_BYTES = 1048576
local found, size = {}, 0
for at, wanted in ipairs(args) do
  if size > MOST_BYTES then break end
  local name, first, last = unpack(wanted, 1, 3)
  local block = blocks.read(name)
  local pieces, bytes = false, 0
  if block then pieces, bytes = blocks.results_in(block, first, last, MOST_BYTES) end
  found[at] = pieces
  size = size + bytes
end
return cmsgpack.pack(found)
