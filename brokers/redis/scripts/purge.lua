#!lua flags=allow-oom
-- purge: end calls of a queue that nobody has claimed, the oldest of each route first.
-- args: { queue, most, ttl ms, text, until (server ms; 0: now) }
-- returns: { how many were ended, how many entries were looked at, until }: again, while the second is not 0
-- needs: ends groups ranges block_ends chains once
local queue, most, ttl, text, last = unpack(args)
if last <= 0 then last = now end
local purged, seen = 0, 0

local function after_what_is_held(key)
  local group = group_of(key)
  return group and '(' .. group['last-delivered-id'] or '-'
end

local function purge_call(id)
  purged = purged + 1
  apart(id, ttl, end_now, id, 'K', PURGED, text, ttl)
end

local function purge_single(ticket, id)
  local status, current = unpack(look(record(id), 's', 'e'))
  seen = seen + 1
  take_off(ticket)
  if current == ticket and not SETTLED[status] then purge_call(id) end
end

local function purge_range(ticket, range_id)
  local current, first, last, _, block = ranges.read(range_id)
  if current ~= ticket or not block then
    seen = seen + 1
    return take_off(ticket)
  end
  for place = first, last do
    if pieces_of.add(blocks.member(block.name, place)) then purged, seen = purged + 1, seen + 1 end
  end
end

-- What a worker does not take of a range is queued again, maybe later than the purge began: its map came before.
local function came_before(entry, id)
  local block = blocks.is_range(id) and blocks.read(string.sub(id, 1, 32))
  local came = block and block.came or number(string.match(entry, '^%d+'), 0)
  return came <= last
end

local function purge_entry(route, entry)
  local id = run_of(entry)
  if not came_before(entry[1], id) then return end
  local ticket = route .. ' ' .. entry[1]
  if blocks.is_range(id) then purge_range(ticket, id) else purge_single(ticket, id) end
end

local PAGES = 10 -- that are looked at in one go; of those that cannot be ended there are as many as workers, or less

local function purge_route(route)
  local key = stream(route)
  local from = after_what_is_held(key)
  for _ = 1, PAGES do
    local entries = redis.pcall('XRANGE', key, from, '+', 'COUNT', most)
    if entries.err then return end
    for _, entry in ipairs(entries) do
      if seen >= most then return end
      purge_entry(route, entry)
      from = '(' .. entry[1]
    end
    if #entries < most then return end
  end
end

local routes = routes_of(queue)
for at = #routes, 1, -1 do
  if seen < most then purge_route(routes[at]) end
end
pieces_of.end_added('K', because(PURGED, text), ttl)
close_script()
return answer({ purged, seen, last })
