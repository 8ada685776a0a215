-- results: outcomes of calls of blocks, in the pieces in which they are stored.
-- needs: blocks
function blocks.results_in(block, from, till, most)
  -- { block, letters, places, outcomes, places, outcomes, ... } of the pieces with these; none larger than `most` bytes; and
  -- how many bytes they have
  local wanted, seen, found, size = {}, {}, { block.name, block.letters }, 0
  for place = from, till do
    local piece = string.byte(block.pieces, place + 1) or 0
    if piece > 0 and not seen[piece] then
      seen[piece] = true
      wanted[#wanted + 1] = 'i' .. piece
      wanted[#wanted + 1] = 'o' .. piece
    end
  end
  local values = #wanted > 0 and look(block.hash, unpack(wanted)) or {}
  for at = 1, #values, 2 do
    local places, outcomes = values[at], values[at + 1]
    if places and outcomes and #outcomes <= most then
      found[#found + 1] = places
      found[#found + 1] = outcomes
      size = size + #outcomes
    end
  end
  return found, size
end
