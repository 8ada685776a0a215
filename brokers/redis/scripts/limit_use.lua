-- limit_use: who holds places under limits, and who waits for one.
-- args: { {name, ...}, most of either that are named of each }
-- returns: { { places taken, text of a number; runs admitted; { {run or ~lease, places, since ms, until ms or 0}, ... },
--   how many wait, { run or ~lease, ... } }, ... }
-- needs: limits
local names, most = unpack(args)
local rows = {}

local function holders_of(name)
  local held, found = places('limit:' .. name, 0, most - 1, 'WITHSCORES'), {}
  for at = 1, #held, 2 do
    local member = held[at]
    local until_ms = number(score('until:' .. name, member), 0)
    local weight = number(look(P .. 'weights:' .. name, member)[1], 1)
    found[#found + 1] = { member, weight, number(held[at + 1], 0), until_ms }
  end
  return found
end

local function waiting_of(name)
  local count, found = 0, {}
  for _, class in ipairs(members('lines:' .. name)) do
    count = count + size_of('line:' .. class)
    for _, member in ipairs(places('line:' .. class, 0, most - #found - 1)) do
      if #found < most then found[#found + 1] = member end
    end
  end
  return count, found
end

for _, name in ipairs(names) do
  forget_overdue(name)
  local _, decay = rules_of({ name = name })
  local count, waiting = waiting_of(name)
  rows[#rows + 1] = { string.format('%.3f', used_of(name, decay)), size_of('admitted:' .. name), holders_of(name), count, waiting }
end
return cmsgpack.pack(rows)
