-- tickets: entries of queues. A ticket is "<route> <entry>": it names one delivery and is the fence of its outcome.
-- Where another broker carries the calls, a queued run has the ticket "@<route> <number>" until a worker that got the
-- message claims it; only then does it enter a stream, under that worker's name. Nothing is carried that was not first
-- written here: what `unpublished` and `outbox` name is published (again) until someone says that it was.
local unsent = nil -- a table while the caller publishes what this script queues
local function route_now(home, keeper, again)
  local route = home
  if keeper and score('workers', keeper) then
    route = '~' .. keeper .. string.sub(home, -3)
  end
  if again then route = string.sub(route, 1, -3) .. 'r' .. string.sub(route, -1) end
  return route
end

local function queue_of(route) return string.sub(route, 1, -4) end

local function routes_of(queue)
  -- from the first that is read to the last
  local routes = {}
  for letter in string.gmatch('rHhDdLl', '.') do
    routes[#routes + 1] = queue .. ':' .. letter .. 's'
    routes[#routes + 1] = queue .. ':' .. letter .. 'a'
  end
  return routes
end

-- Of an entry of a stream: the run, '' where somebody damaged it.
local function run_of(entry) return entry and entry[2] and entry[2][2] or '' end
local function entry_at(key, position) return redis.call('XRANGE', key, position, position)[1] end

-- Runs of deployments wait in queues of the store also where another broker carries the calls of tasks: whoever serves a
-- deployment (`s-<12 hex>`), or works for a pool (`p-<8 hex>-<n>`), reads them there; so do actions (`s-actions`).
local SERVED, POOLED = '^s%-' .. string.rep('%x', 12) .. ':', '^p%-' .. string.rep('%x', 8) .. '%-%d+:'
local ACTIONS = '^s%-actions:'
local function stays_here(route)
  return string.match(route, SERVED) or string.match(route, POOLED) or string.match(route, ACTIONS)
end
local function is_carried_from(route) return CARRIED and not stays_here(route) end

local function carry(id, route, task, first, count)
  -- `first` and `count`: it is a range of a block, which older workers must not read: it has lists of its own
  local number_given = redis.pcall('INCR', P .. 'tickets')
  if type(number_given) ~= 'number' then -- somebody damaged the counter; tickets of before are smaller than the clock
    redis.call('SET', P .. 'tickets', string.format('%.0f', now))
    number_given = redis.call('INCR', P .. 'tickets')
  end
  local ticket = '@' .. route .. ' ' .. string.format('%.0f', number_given)
  count_up(P .. 'carried', queue_of(route), 1)
  put('awaited:' .. queue_of(route), number_given, id)
  if unsent then
    unsent[#unsent + 1] = { id, ticket, task, first, count }
    put(first and 'unpublished_ranges' or 'unpublished', now, id)
  elseif first then
    redis.call('XADD', P .. 'range_outbox', '*', 'i', id, 'e', ticket, 't', task, 'F', first, 'n', count)
  else
    redis.call('XADD', P .. 'outbox', '*', 'i', id, 'e', ticket, 't', task)
  end
  return ticket
end

local function enqueue(id, again)
  local key = record(id)
  local home, keeper, due, task = unpack(redis.call('HMGET', key, 'q', 'p', 'j', 't'))
  if not home then return end
  if not string.match(home, '^.+:%a%a$') then error('its route is ' .. home) end
  if not again and number(due, 0) > now then -- its countdown is not over though its upstreams are
    redis.call('HSET', key, 's', 'D')
    put('delayed', due, id)
    return
  end
  local route = route_now(home, keeper, again)
  if is_carried_from(home) then
    redis.call('HSET', key, 's', 'Q', 'e', carry(id, route, task))
    return
  end
  local entry = redis.call('XADD', stream(route), '*', 'i', id)
  redis.call('HSET', key, 's', 'Q', 'e', route .. ' ' .. entry)
end

local function is_carried(ticket) return string.sub(ticket, 1, 1) == '@' end

local function split_ticket(ticket)
  -- two empty ones: it is damaged, and names nothing. A call of a block has that of its range, and its own place.
  local route, entry = string.match(ticket or '', '^([^ ]+) (%d[%d-]*)$')
  if route then return route, entry end
  local member
  route, entry, member = string.match(ticket or '', '^([^ ]+) (%d[%d-]*)/(%x%x.+)$')
  return route or '', entry or '', member
end

-- Entries to be taken off their streams, collected so that one XACK and one XDEL serve a whole batch.
local off = {}

local function take_off(ticket)
  local route, entry, member = split_ticket(ticket)
  if entry == '' then return end
  if member then return blocks.left(ticket, member) end
  if is_carried(route) then -- its message finds that it has come too late
    local queue = queue_of(string.sub(route, 2))
    count_up(P .. 'carried', queue, -1)
    redis.pcall('ZREMRANGEBYSCORE', P .. 'awaited:' .. queue, entry, entry)
    return
  end
  local list = off[route]
  if not list then list = {}; off[route] = list end
  list[#list + 1] = entry
end

local function take_off_all()
  for route, list in pairs(off) do
    local key = stream(route)
    for first = 1, #list, 1000 do
      local last = math.min(first + 999, #list)
      local acked = redis.pcall('XACK', key, GROUP, unpack(list, first, last))
      if type(acked) == 'number' then
        redis.pcall('XDEL', key, unpack(list, first, last))
      else -- one of them is no entry
        for at = first, last do
          redis.pcall('XACK', key, GROUP, list[at])
          redis.pcall('XDEL', key, list[at])
        end
      end
    end
  end
end

local function owner_of(ticket)
  local route, entry = split_ticket(ticket)
  if entry == '' or is_carried(route) then return nil end
  local reply = redis.pcall('XPENDING', stream(route), GROUP, entry, entry, 1)
  if reply.err or not reply[1] then return nil end
  return reply[1][2]
end
