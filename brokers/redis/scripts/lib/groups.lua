-- groups: who reads a stream.
-- needs: tickets
local function facts_of(row)
  -- what a server says in a flat list, by name
  local facts = {}
  for at = 1, #row, 2 do facts[row[at]] = row[at + 1] end
  return facts
end

local function group_of(key)
  -- nil where nobody has read this stream yet
  local reply = redis.pcall('XINFO', 'GROUPS', key)
  for _, row in ipairs(reply.err and {} or reply) do
    local facts = facts_of(row)
    if facts.name == GROUP then return facts end
  end
end
