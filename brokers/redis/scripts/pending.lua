-- pending: what the server holds for a consumer, to be compared with what the consumer knows.
-- args: { consumer, {route, ...} }
-- returns: { ticket, run, ... }
-- needs: ranges
local consumer, routes = unpack(args)
local held = {}

local function hold(ticket, id)
  held[#held + 1] = ticket
  held[#held + 1] = id
end

local function hold_range(ticket, range_id)
  local current, first, last, handed, block = ranges.read(range_id)
  if current ~= ticket or not handed or not block then return hold(ticket, range_id) end
  for place = first, last do
    local id, own = blocks.member(block.name, place), blocks.ticket(ticket, place, range_id)
    local letter = blocks.letter(block, place)
    if letter == 'Q' or letter == '-' and look(P .. 'r:' .. id, 'e')[1] == own then hold(own, id) end
  end
end

for _, route in ipairs(routes) do
  local reply = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', 1000, consumer)
  if not reply.err then
    for _, row in ipairs(reply) do
      local position = row[1]
      local ticket, id = route .. ' ' .. position, run_of(entry_at(stream(route), position))
      if blocks.is_range(id) then hold_range(ticket, id) else hold(ticket, id) end
    end
  end
end
return cmsgpack.pack(held)
