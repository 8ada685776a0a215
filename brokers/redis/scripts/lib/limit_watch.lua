-- limit_watch: what is done for a limit from time to time, and when it was changed.
-- needs: limits
local LOST = 60000 -- ms after which it is looked whether who holds a place is still there

local function is_there(member)
  local lease = string.match(member, '^~(.*)$')
  if lease then return redis.call('EXISTS', P .. 'lease:' .. lease) == 1 end
  local status = look(record(member), 's')[1]
  return status and not SETTLED[status]
end

local function forget_lost(name)
  -- some at a time, from somewhere: the oldest may be there for long
  local first = now % math.max(1, size_of('limit:' .. name) - 19)
  for _, member in ipairs(range('limit:' .. name, '-inf', now - LOST, 'LIMIT', first, 20)) do
    if not is_there(member) then give_up({ { name = name } }, member) end
  end
end

local function look_after(name)
  forget_lost(name)
  forget_overdue(name)
  adopt_line_of_0_1(name)
  call_next(name)
  local _, earliest = unpack(places('until:' .. name, 0, 0, 'WITHSCORES'))
  if members('lines:' .. name)[1] then watch(name, now + LOOK_AGAIN) end
  if earliest then watch(name, math.max(number(earliest, now), now + 100)) end
end

-- Runs that were called up have not begun: under the new size they have to ask again.
local function limit_changed(name)
  for _, member in ipairs(places('until:' .. name, 0, -1)) do
    if string.sub(member, 1, 1) ~= '~' then
      local text = look(record(member), 'l')[1]
      give_up(text and limits_of(text) or { { name = name } }, member, 1)
    end
  end
  look_after(name)
end
